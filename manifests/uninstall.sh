#!/bin/sh
# Remove QueueRecovery from the cluster of kubectl's current context, in the order that loses nothing:
#
#   1. end all recoveries while the operator still runs, so that their workers are scaled back
#   2. remove the operator
#   3. remove the CustomResourceDefinitions, and with them the QueueTargets
#   4. remove its roles and bindings, also in other namespaces, and its own namespace
#
#   sh manifests/uninstall.sh [--keep-definitions]     (which keeps QueueTargets and finished recoveries too)
#
# Needs kubectl and the permissions of a cluster administrator, and no other file. When a step does not finish, it
# stops, says why and what to do, and can be run again. Quarantined messages and the
# operator's records stay in the brokers. Pause tools that create recoveries or the operator again, such as Argo CD and
# Flux: it stops when one is faster.
#
#   NAMESPACE  the operator's namespace (default: queue-recovery)
#   TIMEOUT    seconds that the recoveries may take to end, and then the operator (default: 300)
set -eu

namespace=${NAMESPACE:-queue-recovery}
timeout=${TIMEOUT:-300}
label=app.kubernetes.io/name=queue-recovery
recoveries=queuerecoveries.queuerecovery.dev
targets=queuetargets.queuerecovery.dev
role=queue-recovery
keep=

case ${1-} in
'') ;;
--keep-definitions) keep=yes ;;
*)
  sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
  exit 2
  ;;
esac

say() { printf 'uninstall: %s\n' "$*"; }

# Print the arguments that are not empty.
show() {
  for lines in "$@"; do
    [ -z "$lines" ] || printf '%s\n' "$lines" >&2
  done
}

# Delete what the arguments select, and say what that was; nothing if there is none.
delete() {
  deleted=$(kubectl delete "$@")
  case $deleted in
  '' | 'No resources found') ;;
  *) printf '%s\n' "$deleted" ;;
  esac
}

stop() {
  say "stopped: $*" >&2
  exit 1
}

# Templates that select recoveries: they set $meant.
all='{{$meant = true}}'
unfinished='{{if not .status.completionTime}}{{$meant = true}}{{end}}'
# A recovery has the operator's finalizer while it holds Deployments or queues.
held='{{range .metadata.finalizers}}{{if eq . "queuerecovery.dev/active"}}{{$meant = true}}{{end}}{{end}}'

# Print the name of their definition; nothing where it does not exist, and so no recovery either.
defined() { kubectl get crd $recoveries --ignore-not-found -o name; }

# Print namespace and name of each recovery that the template $1 selects, and $2. The message may have any text, which
# quoting keeps on one line.
list() {
  definition=$(defined)
  [ -n "$definition" ] || return 0
  kubectl get $recoveries --all-namespaces \
    -o go-template='{{range .items}}{{$meant := false}}'"$1"'{{if $meant}}{{.metadata.namespace}} {{.metadata.name}}'"$2"'{{"\n"}}{{end}}{{end}}'
}
describe() { list "$1" '{{with .status.phase}} {{.}}{{end}}{{with .status.message}}: {{printf "%q" .}}{{end}}'; }

# Each recovery that has to be deleted. If the definitions are kept, so are finished recoveries without a finalizer.
left_over() { if [ -z "$keep" ]; then describe "$all"; else describe "$unfinished$held"; fi; }

delete_left_over() {
  if [ -z "$keep" ]; then
    kubectl delete $recoveries --all --all-namespaces --wait=false >/dev/null
  else
    unfinished_ones=$(list "$unfinished" '')
    printf '%s\n' "$unfinished_ones" | while read -r in name; do
      [ -z "$in" ] || kubectl delete $recoveries "$name" -n "$in" --ignore-not-found --wait=false >/dev/null </dev/null
    done
  fi
}

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

# Print each worker that is still scaled down for a recovery (namespace/name, and its former replicas), and each
# ScaledObject that is still paused for one, if there is KEDA and they may be listed.
waiting() {
  keda=$(kubectl get crd scaledobjects.keda.sh --ignore-not-found -o name)
  if [ -n "$keda" ] && kubectl auth can-i list scaledobjects.keda.sh --all-namespaces >/dev/null 2>&1; then
    kubectl get scaledobjects.keda.sh --all-namespaces \
      -o go-template='{{range .items}}{{$ours := false}}{{range $name, $value := .metadata.labels}}{{if eq $name "queuerecovery.dev/held-by-uid"}}{{$ours = true}}{{end}}{{end}}{{range $name, $value := .metadata.annotations}}{{if eq $name "queuerecovery.dev/paused-by"}}{{$ours = true}}{{end}}{{end}}{{if $ours}}  {{.metadata.namespace}}/{{.metadata.name}}: unpause this ScaledObject{{"\n"}}{{end}}{{end}}'
  fi
  kubectl get "$kinds" --all-namespaces -l queuerecovery.dev/scale-back-to \
    -o go-template='{{range .items}}  {{.metadata.namespace}}/{{.metadata.name}}: scale back to {{index .metadata.labels "queuerecovery.dev/scale-back-to"}}{{"\n"}}{{end}}'
}

say "from the cluster of kubectl's context $(kubectl config current-context 2>/dev/null || echo '(none)')"

kinds=$(scalable)

# Each answer is assigned before it is tested: so a kubectl that fails ends this script, and does not count as "none".
definition=$(defined)
[ -z "$definition" ] || say "ending all recoveries; those that have stopped workers scale them back first"
waited=0
again=
while :; do
  left=$(left_over)
  if [ -z "$left" ]; then
    stopped=$(waiting)
    [ -n "$stopped" ] || break
    if [ -n "$again" ]; then
      show "$stopped"
      stop "these are still scaled down or paused for a recovery that has ended or does not exist any more. Give them back
(sh manifests/scale-back.sh) and run this again. Nothing has been removed yet"
    fi
    # They may belong to a recovery that has begun since the recoveries were listed; the next list has it.
    again=yes
    continue
  fi
  again=
  if [ "$waited" -ge "$timeout" ]; then
    show "$left"
    running=$(kubectl get deployment queue-recovery -n "$namespace" --ignore-not-found \
      -o jsonpath='{.status.availableReplicas}')
    [ -n "$running" ] ||
      stop "these recoveries wait for the operator, which does not run in namespace \"$namespace\". Apply it again
(kubectl apply -k manifests/), wait until it is ready, and run this again. Where it cannot run any more: see
\"Without the operator\" in README.md, then \"A recovery that cannot end\". Nothing has been removed yet"
    stop "these recoveries have not ended within $timeout s. Do what their messages say and run this again, or see
\"A recovery that cannot end\" in README.md. Nothing has been removed yet"
  fi
  # Each time: a Git tool may have created them again.
  delete_left_over
  sleep 1
  waited=$((waited + 1))
done

say "removing the operator"
kubectl delete deployment queue-recovery -n "$namespace" --ignore-not-found --cascade=foreground --timeout="${timeout}s" ||
  stop "the operator's Deployment in namespace \"$namespace\" could not be removed. See what blocks it
(kubectl get deployment,pods -n $namespace -o yaml) and run this again. Nothing else has been removed yet"

# Where the Deployment was deleted before, its pods may still run.
waited=0
while :; do
  pods=$(kubectl get pods -n "$namespace" -l $label -o name)
  [ -n "$pods" ] || break
  if [ "$waited" -ge "$timeout" ]; then
    show "$pods"
    stop "these pods of the operator still run in namespace \"$namespace\". Remove what owns or blocks them
(kubectl get pods -n $namespace -o yaml) and run this again. Nothing but the operator's Deployment has been removed yet"
  fi
  sleep 1
  waited=$((waited + 1))
done

# The operator runs until its last pod has stopped, so a recovery may have begun since the checks above. Now none can.
left=$(describe "$held")
stopped=$(waiting)
if [ -n "$left$stopped" ]; then
  show "$left" "$stopped"
  [ -n "$left" ] ||
    stop "these are still scaled down or paused for a recovery that has ended or does not exist any more. Give them back
(sh manifests/scale-back.sh) and run this again. Nothing but the operator's Deployment has been removed yet"
  stop "these recoveries began while the operator was being removed, and wait for it now. Pause what creates them, such as
a Git tool, apply the operator again (kubectl apply -k manifests/), wait until it is ready, and run this again. Where it
cannot run any more: see \"Without the operator\" in README.md (sh manifests/scale-back.sh), then \"A recovery that
cannot end\". Nothing but the operator's Deployment has been removed yet"
fi

if [ -z "$keep" ]; then
  say "removing the definitions and the targets"
  kubectl delete crd $recoveries $targets --ignore-not-found --timeout=120s ||
    stop "the definitions wait for a resource with a finalizer of something else. To find it:
kubectl get $recoveries,$targets -A -o yaml"
fi

say "removing its roles and bindings"
# Names of RoleBindings may have any characters, also newlines. Quoted, those have backslashes.
bindings=$(kubectl get rolebindings --all-namespaces \
  -o go-template='{{range .items}}{{if and (eq .roleRef.kind "ClusterRole") (eq .roleRef.name "'$role'" "'$role-tenant'" "'$role-tenant-keda'" "'$role-tenant-rollouts'")}}{{.metadata.namespace}} {{printf "%q" .metadata.name}}{{"\n"}}{{end}}{{end}}')
printf '%s\n' "$bindings" | while read -r in quoted; do
  name=${quoted#\"}
  case $quoted in
  '') ;;
  *\\*) say "RoleBinding $quoted in namespace \"$in\" is left: its name has unusual characters. It grants nothing without
the ClusterRole; delete it yourself" ;;
  *) kubectl delete rolebinding -n "$in" --ignore-not-found -- "${name%\"}" </dev/null ;;
  esac
done
delete clusterrolebindings,clusterroles -l $label
policies=$(kubectl api-resources --api-group=admissionregistration.k8s.io -o name)
case $policies in
*validatingadmissionpolicies*)
  delete validatingadmissionpolicybindings,validatingadmissionpolicies -l $label --ignore-not-found
  ;;
esac
delete services,rolebindings,roles,serviceaccounts -n "$namespace" -l $label
kubectl delete lease queue-recovery -n "$namespace" --ignore-not-found
if [ "$namespace" = queue-recovery ]; then
  kubectl delete namespace "$namespace" --ignore-not-found --timeout=120s
fi
# The operator may have been applied again in the meantime. Without its roles it begins nothing more.
left=$(describe "$held")
stopped=$(waiting)
show "$left" "$stopped"
[ -z "$left$stopped" ] ||
  stop "these began while the rest was being removed. Pause what applies the operator again, such as a Git tool, scale
the workers back (sh manifests/scale-back.sh), and for recoveries see \"A recovery that cannot end\" in README.md.
Everything else has been removed"
say "removed; still in the brokers, after the global_keyprefix, if any:
  queuerecovery.dev:quarantine:*                              quarantined messages
  queuerecovery.dev:run:* and queuerecovery.dev:runs:*        the operator's records
docs/quarantine.md has the commands that put messages back, and those that remove both"
