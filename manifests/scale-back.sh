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

found=$(kubectl get deployments "$@" -o go-template='{{range .items}}{{$d := .}}{{with .metadata.annotations}}{{with index . "queuerecovery.dev/restore"}}{{$d.metadata.namespace}} {{$d.metadata.name}} {{$d.metadata.resourceVersion}} {{$d.spec.replicas}} {{.}}{{"\n"}}{{end}}{{end}}{{end}}')
if [ -z "$found" ]; then
  echo "no Deployment waits for a recovery"
  exit 0
fi

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
  while read -r namespace name version replicas note; do
    recorded=$(printf '%s' "$note" | sed -n 's/.*"replicas": *\([0-9][0-9]*\).*/\1/p')
    if [ -z "$recorded" ]; then
      echo "$namespace/$name: its annotation queuerecovery.dev/restore says no replicas: $note" >&2
      status=1
      continue
    fi
    [ "$replicas" -gt 0 ] || replicas=$recorded
    # With the resourceVersion that was seen: the write fails if somebody else has changed the Deployment since.
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
