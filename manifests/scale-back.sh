#!/bin/sh
# Bring the workers back that a recovery has scaled to 0, where no operator does it any more: give each Deployment the
# replicas that the recovery wrote down on it, and remove what it wrote, as the operator does.
#
#   sh manifests/scale-back.sh [-n NAMESPACE]     (without -n: in all namespaces)
#
# Needs kubectl and nothing else. A Deployment that somebody has scaled up since keeps its replicas. While an operator
# runs, delete the recovery instead: the operator would scale its workers to 0 again.
set -eu

[ $# -gt 0 ] || set -- --all-namespaces

# Only what the API server validates: the annotation is its owner's text, whose newlines would begin further lines here.
found=$(kubectl get deployments "$@" -o go-template='{{range .items}}{{$d := .metadata}}{{with $d.annotations}}{{with index . "queuerecovery.dev/restore"}}{{$d.namespace}} {{$d.name}}{{"\n"}}{{end}}{{end}}{{end}}')
if [ -z "$found" ]; then
  echo "no Deployment waits for a recovery"
  exit 0
fi

# Print a template of the Deployment $1/$2.
show() { kubectl get deployment "$2" -n "$1" -o go-template="$3" </dev/null; }

is_number() { case $1 in '' | *[!0-9]*) return 1 ;; esac }

# Print the replicas that a note says. It has to be one line with one JSON object without others in it, as the operator
# writes it: in anything else, what looks like replicas could be a part of a string.
replicas_of() {
  case $1 in *'
'*) return 0 ;; esac
  space='[[:space:]]*'
  string='"([^"\\[:cntrl:]]|\\["\\/bfnrt]|\\u[0-9A-Fa-f]{4})*"'
  number='-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?'
  member="$space$string$space:$space($string|$number|true|false|null)$space"
  printf '%s\n' "$1" | LC_ALL=C grep -Eq "^$space\{$member(,$member)*\}$space\$" || return 0
  said=$(printf '%s\n' "$1" | LC_ALL=C sed -n 's/.*[{,][[:space:]]*"replicas"[[:space:]]*:[[:space:]]*\([0-9]*\)[[:space:]]*[,}].*/\1/p')
  # The length first: a shell need not compare numbers that are longer than its own.
  if is_number "$said" && [ ${#said} -le 10 ] && [ "$said" -le 2147483647 ]; then
    echo "$said"
  fi
}

# The operator's entries in managedFields would make a later server-side apply of other replicas fail. Anybody's write
# changes their order, so this tries again.
disown() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    first=$(kubectl get deployment "$2" -n "$1" --show-managed-fields -o go-template='{{range $i, $e := .metadata.managedFields}}{{if eq $e.manager "queue-recovery"}}{{$i}} {{end}}{{end}}' | cut -d ' ' -f 1)
    [ -n "$first" ] || return 0
    path=/metadata/managedFields/$first
    kubectl patch deployment "$2" -n "$1" --type=json --field-manager=queue-recovery -p '[
      {"op": "test", "path": "'"$path"'/manager", "value": "queue-recovery"}, {"op": "remove", "path": "'"$path"'"}
    ]' >/dev/null 2>&1 || true
  done
  echo "$1/$2: managedFields still names queue-recovery; a server-side apply of other replicas needs --force-conflicts" >&2
}

printf '%s\n' "$found" | {
  status=0
  while read -r namespace name; do
    # The resourceVersion first, for the write below: it fails if the Deployment has changed since.
    if ! { version=$(show "$namespace" "$name" '{{.metadata.resourceVersion}}') && is_number "$version" &&
      replicas=$(show "$namespace" "$name" '{{.spec.replicas}}') && is_number "$replicas" &&
      note=$(show "$namespace" "$name" '{{with .metadata.annotations}}{{with index . "queuerecovery.dev/restore"}}{{.}}{{end}}{{end}}'); }; then
      echo "$namespace/$name: it could not be read; run this again" >&2
      status=1
      continue
    fi
    # Somebody else has brought it back since the list was made.
    [ -n "$note" ] || continue
    recorded=$(replicas_of "$note")
    if [ -z "$recorded" ]; then
      quoted=$(show "$namespace" "$name" '{{with .metadata.annotations}}{{with index . "queuerecovery.dev/restore"}}{{printf "%q" .}}{{end}}{{end}}') || quoted='?'
      # Not with echo, which may turn the quoted newlines into real ones.
      printf '%s\n' "$namespace/$name: its annotation queuerecovery.dev/restore says no replicas: $quoted. Scale it as it has to be, and remove the annotation: kubectl annotate deployment $name -n $namespace queuerecovery.dev/restore-" >&2
      status=1
      continue
    fi
    [ "$replicas" -gt 0 ] || replicas=$recorded
    if kubectl patch deployment "$name" -n "$namespace" --type=merge --field-manager=queue-recovery -p '{
      "metadata": {
        "resourceVersion": "'"$version"'",
        "annotations": {"queuerecovery.dev/restore": null},
        "labels": {"queuerecovery.dev/fence": null}
      },
      "spec": {"replicas": '"$replicas"'}
    }' >/dev/null </dev/null; then
      echo "$namespace/$name: $replicas replicas again"
      disown "$namespace" "$name" </dev/null
    else
      echo "$namespace/$name: not changed; run this again" >&2
      status=1
    fi
  done
  exit $status
}
