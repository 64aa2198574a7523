#!/bin/sh
# Scale back the workers that a recovery has scaled to 0, where no operator does so any more: set each Deployment to the
# replicas that the recovery noted in its labels, and remove these labels, as the operator does.
#
#   sh manifests/scale-back.sh [-n NAMESPACE]     (without -n: in all namespaces)
#
# Needs only kubectl. A Deployment that has been scaled up since keeps its replicas. While an operator runs, delete the
# recovery instead: the operator would scale the workers to 0 again.
set -eu

[ $# -gt 0 ] || set -- --all-namespaces

# The note is labels: the API server allows neither spaces nor line breaks in them, so a line can be split into words.
label=queuerecovery.dev/scale-back-to
found=$(kubectl get deployments "$@" -l $label -o go-template='{{range .items}}{{.metadata.namespace}} {{.metadata.name}}{{"\n"}}{{end}}')
if [ -z "$found" ]; then
  echo "no Deployment is scaled down for a recovery"
  exit 0
fi

# Print resourceVersion and replicas of the Deployment $1/$2, and its label, if any, after "=".
show() {
  kubectl get deployment "$2" -n "$1" </dev/null \
    -o go-template='{{.metadata.resourceVersion}} {{.spec.replicas}} {{range $name, $value := .metadata.labels}}{{if eq $name "'$label'"}}={{$value}}{{end}}{{end}}{{"\n"}}'
}

# Whether a word is a number of replicas. The length comes first: a shell may not compare longer numbers.
is_count() {
  case $1 in '' | *[!0-9]* | 0?*) return 1 ;; esac
  [ ${#1} -le 10 ] && [ "$1" -le 2147483647 ]
}

# The operator's entries in managedFields would make a later server-side apply of other replicas conflict. Any write
# changes their order, so this tries again.
release_fields() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    first=$(kubectl get deployment "$2" -n "$1" --show-managed-fields -o go-template='{{range $i, $e := .metadata.managedFields}}{{if eq $e.manager "queue-recovery"}}{{$i}} {{end}}{{end}}' | cut -d ' ' -f 1)
    [ -n "$first" ] || return 0
    path=/metadata/managedFields/$first
    kubectl patch deployment "$2" -n "$1" --type=json --field-manager=queue-recovery -p '[
      {"op": "test", "path": "'"$path"'/manager", "value": "queue-recovery"}, {"op": "remove", "path": "'"$path"'"}
    ]' >/dev/null 2>&1 || true
  done
  echo "$1/$2: managedFields still names queue-recovery. A server-side apply of other replicas needs --force-conflicts" >&2
}

printf '%s\n' "$found" | {
  status=0
  while read -r namespace name; do
    if ! seen=$(show "$namespace" "$name"); then
      echo "$namespace/$name: cannot be read. Run this again" >&2
      status=1
      continue
    fi
    read -r version replicas recorded <<EOT
$seen
EOT
    # It has been scaled back since the list was made.
    [ -n "$recorded" ] || continue
    recorded=${recorded#=}
    if ! is_count "$recorded"; then
      echo "$namespace/$name: the value \"$recorded\" of its label $label is no number of replicas. Scale the Deployment yourself, and remove the label: kubectl label deployment $name -n $namespace $label-" >&2
      status=1
      continue
    fi
    [ "$replicas" -gt 0 ] || replicas=$recorded
    # With the resourceVersion, the patch conflicts if the Deployment has changed since it was read.
    if kubectl patch deployment "$name" -n "$namespace" --type=merge --field-manager=queue-recovery -p '{
      "metadata": {
        "resourceVersion": "'"$version"'",
        "labels": {
          "queuerecovery.dev/held-by": null,
          "queuerecovery.dev/held-by-uid": null,
          "'$label'": null,
          "queuerecovery.dev/fence": null
        }
      },
      "spec": {"replicas": '"$replicas"'}
    }' >/dev/null </dev/null; then
      echo "$namespace/$name: scaled back to $replicas"
      release_fields "$namespace" "$name" </dev/null
    else
      echo "$namespace/$name: not changed. Run this again" >&2
      status=1
    fi
  done
  exit $status
}
