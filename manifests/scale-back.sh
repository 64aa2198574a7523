#!/bin/sh
# Scale back the workers that a recovery has scaled to 0, where no operator does so any more: set each Deployment,
# StatefulSet, Rollout or other worker to the replicas that the recovery noted in its labels, and remove these labels, as the
# operator does. Then give the KEDA ScaledObjects that a recovery has paused their former pause back.
#
#   sh manifests/scale-back.sh [-n NAMESPACE]     (without -n: in all namespaces)
#
# Needs only kubectl. A worker that has been scaled up since keeps its replicas. While an operator runs, delete the recovery
# instead: the operator would scale the workers to 0 again.
set -eu

[ $# -gt 0 ] || set -- --all-namespaces

# The note is labels: the API server allows neither spaces nor line breaks in them, so a line can be split into words.
label=queuerecovery.dev/scale-back-to
uid_label=queuerecovery.dev/held-by-uid
by=queuerecovery.dev/paused-by
list='{{range .items}}{{.kind}} {{.metadata.namespace}} {{.metadata.name}} {{.apiVersion}}{{"\n"}}{{end}}'

# Print the kinds that a worker may be of, as kubectl names them: Deployments, StatefulSets, and each kind outside Kubernetes'
# own groups that has the subresource scale.
scalable() {
  printf deployments,statefulsets
  kubectl api-versions | grep '\..*/' | grep -v -e '\.k8s\.io/' -e '^queuerecovery\.dev/' | while read -r version; do
    kubectl get --raw "/apis/$version" </dev/null | grep -o '"name":"[a-z0-9.-]*/scale"' | while IFS='"/' read -r _ _ _ plural _; do
      echo "$plural.${version%/*}"
    done
  done | sort -u | while read -r kind; do printf ,%s "$kind"; done
}

# Print resourceVersion and replicas of the $1 $2/$3, and its label, if any, after "=".
show() {
  kubectl get "$1" "$3" -n "$2" </dev/null \
    -o go-template='{{.metadata.resourceVersion}} {{.spec.replicas}} {{range $name, $value := .metadata.labels}}{{if eq $name "'$label'"}}={{$value}}{{end}}{{end}}{{"\n"}}'
}

# Whether a word is a number of replicas. The length comes first: a shell may not compare longer numbers.
is_count() {
  case $1 in '' | *[!0-9]* | 0?*) return 1 ;; esac
  [ ${#1} -le 10 ] && [ "$1" -le 2147483647 ]
}

# The operator's entries in managedFields would make a later server-side apply of other values conflict. Any write changes
# their order, so this tries again.
release_fields() {
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    first=$(kubectl get "$1" "$3" -n "$2" --show-managed-fields -o go-template='{{range $i, $e := .metadata.managedFields}}{{if eq $e.manager "queue-recovery"}}{{$i}} {{end}}{{end}}' | cut -d ' ' -f 1)
    [ -n "$first" ] || return 0
    path=/metadata/managedFields/$first
    kubectl patch "$1" "$3" -n "$2" --type=json --field-manager=queue-recovery -p '[
      {"op": "test", "path": "'"$path"'/manager", "value": "queue-recovery"}, {"op": "remove", "path": "'"$path"'"}
    ]' >/dev/null 2>&1 || true
  done
  echo "$2/$3: managedFields still names queue-recovery. A server-side apply of other values needs --force-conflicts" >&2
}

# Scale back the workers that are listed as lines on standard input: kind, namespace, name and apiVersion.
scale_back() {
  status=0
  while read -r kind namespace name version; do
    resource=$kind.${version#*/}.${version%/*}
    if ! seen=$(show "$resource" "$namespace" "$name"); then
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
      echo "$namespace/$name: the value \"$recorded\" of its label $label is no number of replicas. Scale the $kind yourself, and remove the label: kubectl label $resource $name -n $namespace $label-" >&2
      status=1
      continue
    fi
    [ "$replicas" -gt 0 ] || replicas=$recorded
    # With the resourceVersion, the patch conflicts if the object has changed since it was read.
    if kubectl patch "$resource" "$name" -n "$namespace" --type=merge --field-manager=queue-recovery -p '{
      "metadata": {
        "resourceVersion": "'"$version"'",
        "labels": {
          "queuerecovery.dev/held-by": null,
          "'$uid_label'": null,
          "'$label'": null,
          "queuerecovery.dev/fence": null
        }
      },
      "spec": {"replicas": '"$replicas"'}
    }' >/dev/null </dev/null; then
      echo "$namespace/$name: scaled back to $replicas"
      release_fields "$resource" "$namespace" "$name" </dev/null
    else
      echo "$namespace/$name: not changed. Run this again" >&2
      status=1
    fi
  done
  return $status
}

# Print the ScaledObjects that a recovery has paused, as its label or its annotation says: somebody may have removed one.
list_paused() {
  kubectl get scaledobjects.keda.sh "$@" -o go-template='{{range .items}}{{$ours := false}}{{range $name, $value := .metadata.labels}}{{if eq $name "'$uid_label'"}}{{$ours = true}}{{end}}{{end}}{{range $name, $value := .metadata.annotations}}{{if eq $name "'$by'"}}{{$ours = true}}{{end}}{{end}}{{if $ours}}{{.kind}} {{.metadata.namespace}} {{.metadata.name}}{{"\n"}}{{end}}{{end}}'
}

# Print the resourceVersion of the ScaledObject $1/$2, and the names of those of its labels and annotations that matter. A
# value may be any text, so only names are printed.
show_pause() {
  kubectl get scaledobjects.keda.sh "$2" -n "$1" </dev/null -o go-template='{{.metadata.resourceVersion}}{{range $name, $value := .metadata.labels}}{{if or (eq $name "queuerecovery.dev/held-by") (eq $name "queuerecovery.dev/held-by-uid") (eq $name "queuerecovery.dev/fence")}} label:{{$name}}{{end}}{{end}}{{range $name, $value := .metadata.annotations}}{{if and (eq $name "autoscaling.keda.sh/paused") (eq $value "true")}} paused{{end}}{{if eq $name "autoscaling.keda.sh/paused-replicas"}} paused-replicas{{end}}{{if eq $name "'$by'"}} paused-by{{end}}{{if eq $name "queuerecovery.dev/paused-before"}} paused-before{{end}}{{if eq $name "queuerecovery.dev/paused-replicas-before"}} paused-replicas-before{{end}}{{end}}{{"\n"}}'
}

# Whether the first word is among the others.
among() {
  word=$1
  shift
  for other in "$@"; do [ "$other" != "$word" ] || return 0; done
  return 1
}

# Print the operations of a JSON patch that give a ScaledObject its former pause back, unless somebody has changed it since:
# $1 is its resourceVersion, the others are the words of show_pause.
unpausing() {
  printf '{"op": "test", "path": "/metadata/resourceVersion", "value": "%s"}' "$1"
  shift
  for word in "$@"; do
    case $word in
    label:*) printf ', {"op": "remove", "path": "/metadata/labels/queuerecovery.dev~1%s"}' "${word##*/}" ;;
    paused-by) printf ', {"op": "remove", "path": "/metadata/annotations/queuerecovery.dev~1paused-by"}' ;;
    esac
  done
  for name in paused paused-replicas; do
    ours=queuerecovery.dev~1$name-before theirs=autoscaling.keda.sh~1$name
    is_as_left=false
    case $name in
    paused) among paused "$@" && is_as_left=true ;;
    *) among paused-replicas "$@" || is_as_left=true ;;
    esac
    if among "$name-before" "$@"; then
      if $is_as_left; then
        printf ', {"op": "move", "from": "/metadata/annotations/%s", "path": "/metadata/annotations/%s"}' "$ours" "$theirs"
      else
        printf ', {"op": "remove", "path": "/metadata/annotations/%s"}' "$ours"
      fi
    elif [ $name = paused ] && $is_as_left; then
      printf ', {"op": "remove", "path": "/metadata/annotations/%s"}' "$theirs"
    fi
  done
}

# Give the ScaledObjects their former pause back that are listed as lines on standard input: kind, namespace, name and apiVersion.
unpause() {
  status=0
  while read -r kind namespace name _; do
    if ! seen=$(show_pause "$namespace" "$name"); then
      echo "$namespace/$name: cannot be read. Run this again" >&2
      status=1
      continue
    fi
    # It has been unpaused since the list was made.
    case $seen in *" label:$uid_label"* | *' paused-by'*) ;; *) continue ;; esac
    # shellcheck disable=SC2086  # words
    if kubectl patch scaledobjects.keda.sh "$name" -n "$namespace" --type=json --field-manager=queue-recovery -p "[$(unpausing $seen)]" >/dev/null </dev/null; then
      echo "$namespace/$name: $kind has its former pause back"
      release_fields scaledobjects.keda.sh "$namespace" "$name" </dev/null
    else
      echo "$namespace/$name: not changed. Run this again" >&2
      status=1
    fi
  done
  return $status
}

# Workers come first, and what one list denies does not keep the others from being scaled back.
code=0
kinds=$(scalable)
found=$(kubectl get "$kinds" "$@" -l $label -o go-template="$list") || {
  echo "Not every kind of worker can be listed, so some may still be scaled down. Run this again as a user who may get, list and patch them" >&2
  code=1
}
[ -z "$found" ] || printf '%s\n' "$found" | scale_back || code=1

paused=
if kubectl get --raw /apis/keda.sh/v1alpha1 >/dev/null 2>&1; then
  paused=$(list_paused "$@") || {
    echo "ScaledObjects cannot be listed, so KEDA may still be paused. Run this again as a user who may get, list and patch them" >&2
    code=1
  }
  [ -z "$paused" ] || printf '%s\n' "$paused" | unpause || code=1
fi

[ -n "$found$paused" ] || [ $code -ne 0 ] || echo "no worker is scaled down for a recovery"
exit $code
