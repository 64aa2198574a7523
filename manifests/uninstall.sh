#!/bin/sh
# Remove QueueRecovery from the cluster that kubectl points at, in the order that loses nothing:
#
#   1. end all recoveries while the operator still runs, so that their workers come back
#   2. remove the operator
#   3. remove the definitions (CRDs), and with them the QueueTargets
#   4. remove its rights, in the namespaces too, and its own namespace
#
#   sh manifests/uninstall.sh [--keep-definitions]     (which keeps QueueTargets and finished recoveries too)
#
# Needs kubectl and the rights of a cluster administrator, and no other file. When a step does not come to its end it
# stops, says what holds it up and what to do, and can be run again. What recoveries have taken stays in the brokers.
# Pause tools that create recoveries or the operator again, such as Argo CD and Flux: it stops when one is faster.
#
#   NAMESPACE  where the operator is (default: queue-recovery)
#   TIMEOUT    seconds that the recoveries may take to end, and then the operator (default: 300)
set -eu

namespace=${NAMESPACE:-queue-recovery}
timeout=${TIMEOUT:-300}
label=app.kubernetes.io/name=queue-recovery
recoveries=queuerecoveries.queuerecovery.dev
targets=queuetargets.queuerecovery.dev
role=queue-recovery-tenant
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

# Print what is not empty.
show() {
  for lines in "$@"; do
    [ -z "$lines" ] || printf '%s\n' "$lines" >&2
  done
}

stop() {
  say "stopped: $*" >&2
  exit 1
}

# A template says which recoveries are meant: it sets $meant.
all='{{$meant = true}}'
unfinished='{{if not .status.completionTime}}{{$meant = true}}{{end}}'
# The operator's finalizer is on a recovery while it holds Deployments or queues.
held='{{range .metadata.finalizers}}{{if eq . "queuerecovery.dev/active"}}{{$meant = true}}{{end}}{{end}}'

# The name of their definition; empty where there is none, and so no recovery either.
defined() { kubectl get crd $recoveries --ignore-not-found -o name; }

# Print namespace and name of each recovery that $1 means, and $2. The message has its owner's text in it, and quoting
# keeps that on one line.
list() {
  definition=$(defined)
  [ -n "$definition" ] || return 0
  kubectl get $recoveries --all-namespaces \
    -o go-template='{{range .items}}{{$meant := false}}'"$1"'{{if $meant}}{{.metadata.namespace}} {{.metadata.name}}'"$2"'{{"\n"}}{{end}}{{end}}'
}
describe() { list "$1" '{{with .status.phase}} {{.}}{{end}}{{with .status.message}}: {{printf "%q" .}}{{end}}'; }

# Each recovery that has to go. With the definitions the finished ones stay too, once the operator has released them.
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

# Each Deployment that a recovery has scaled to 0 and not back: namespace/name, and the replicas that it had.
waiting() {
  kubectl get deployments --all-namespaces -l queuerecovery.dev/scale-back-to \
    -o go-template='{{range .items}}  {{.metadata.namespace}}/{{.metadata.name}}: {{index .metadata.labels "queuerecovery.dev/scale-back-to"}} replicas{{"\n"}}{{end}}'
}

say "from the cluster of kubectl's context $(kubectl config current-context 2>/dev/null || echo '(none)')"

# Each answer is assigned before it is looked at: a kubectl that fails then ends this script, and is not taken for "none".
definition=$(defined)
[ -z "$definition" ] || say "ending all recoveries; those that have stopped workers bring them back first"
waited=0
again=
while :; do
  left=$(left_over)
  if [ -z "$left" ]; then
    stopped=$(waiting)
    [ -n "$stopped" ] || break
    if [ -n "$again" ]; then
      show "$stopped"
      stop "these Deployments are still scaled down for a recovery that does not exist any more. Bring them back
(sh manifests/scale-back.sh) and run this again. Nothing has been removed yet"
    fi
    # They may be those of a recovery that has begun since the recoveries were listed; then they are listed now.
    again=yes
    continue
  fi
  again=
  if [ "$waited" -ge "$timeout" ]; then
    show "$left"
    running=$(kubectl get deployment queue-recovery -n "$namespace" --ignore-not-found \
      -o jsonpath='{.status.availableReplicas}')
    [ -n "$running" ] ||
      stop "these recoveries wait for the operator, which does not run in namespace $namespace. Apply it again
(kubectl apply -k manifests/), wait until it is ready, and run this again. Where it cannot run any more: see
\"Without the operator\" in README.md, then \"A recovery that cannot end\". Nothing has been removed yet"
    stop "these recoveries have not ended within $timeout s. Do what their messages say and run this again, or see
\"A recovery that cannot end\" in README.md. Nothing has been removed yet"
  fi
  # Again each time: a Git tool may have created them again.
  delete_left_over
  sleep 2
  waited=$((waited + 2))
done

say "removing the operator"
kubectl delete deployment queue-recovery -n "$namespace" --ignore-not-found --cascade=foreground --timeout="${timeout}s" ||
  stop "the operator's Deployment in namespace $namespace could not be removed. See what holds it up
(kubectl get deployment,pods -n $namespace -o yaml) and run this again. Nothing else has been removed yet"

# Where the Deployment was deleted before and in another way, its pods may still run.
waited=0
while :; do
  pods=$(kubectl get pods -n "$namespace" -l $label -o name)
  [ -n "$pods" ] || break
  if [ "$waited" -ge "$timeout" ]; then
    show "$pods"
    stop "these pods of the operator still run in namespace $namespace. Remove what owns them or holds them up
(kubectl get pods -n $namespace -o yaml) and run this again. Nothing but the operator's Deployment has been removed yet"
  fi
  sleep 2
  waited=$((waited + 2))
done

# The operator works until its last pod is gone, so a recovery may have begun since the looks above. From here on none can.
left=$(describe "$held")
stopped=$(waiting)
if [ -n "$left$stopped" ]; then
  show "$left" "$stopped"
  [ -n "$left" ] ||
    stop "these Deployments are still scaled down for a recovery that does not exist any more. Bring them back
(sh manifests/scale-back.sh) and run this again. Nothing but the operator's Deployment has been removed yet"
  stop "these recoveries began while the operator was removed, and wait for it now. Pause what creates them, such as
a Git tool, apply the operator again (kubectl apply -k manifests/), wait until it is ready, and run this again. Where it
cannot run any more: see \"Without the operator\" in README.md (sh manifests/scale-back.sh), then \"A recovery that
cannot end\". Nothing but the operator's Deployment has been removed yet"
fi

if [ -z "$keep" ]; then
  say "removing the definitions and the targets"
  kubectl delete crd $recoveries $targets --ignore-not-found --timeout=120s ||
    stop "the definitions wait for a resource that something else holds: kubectl get $recoveries,$targets -A -o yaml
shows its finalizers"
fi

say "removing its rights"
# Names of RoleBindings may have any characters, newlines too. Quoted they have backslashes then.
bindings=$(kubectl get rolebindings --all-namespaces \
  -o go-template='{{range .items}}{{if and (eq .roleRef.kind "ClusterRole") (eq .roleRef.name "'$role'")}}{{.metadata.namespace}} {{printf "%q" .metadata.name}}{{"\n"}}{{end}}{{end}}')
printf '%s\n' "$bindings" | while read -r in quoted; do
  name=${quoted#\"}
  case $quoted in
  '') ;;
  *\\*) say "RoleBinding $quoted in namespace $in is left: its name has unusual characters. It grants nothing without the
ClusterRole; delete it yourself" ;;
  *) kubectl delete rolebinding -n "$in" --ignore-not-found -- "${name%\"}" </dev/null ;;
  esac
done
kubectl delete clusterrolebindings,clusterroles -l $label
kinds=$(kubectl api-resources --api-group=admissionregistration.k8s.io -o name)
case $kinds in
*validatingadmissionpolicies*)
  kubectl delete validatingadmissionpolicybindings,validatingadmissionpolicies -l $label --ignore-not-found
  ;;
esac
kubectl delete services,rolebindings,roles,serviceaccounts -n "$namespace" -l $label
kubectl delete lease queue-recovery -n "$namespace" --ignore-not-found
if [ "$namespace" = queue-recovery ]; then
  kubectl delete namespace "$namespace" --ignore-not-found --timeout=120s
fi
# Something may have applied the operator again meanwhile. Without its rights it begins nothing more.
left=$(describe "$held")
stopped=$(waiting)
show "$left" "$stopped"
[ -z "$left$stopped" ] ||
  stop "these began while the rest was removed. Pause what applies the operator again, such as a Git tool, bring the
workers back (sh manifests/scale-back.sh), and for recoveries see \"A recovery that cannot end\" in README.md.
Everything else has been removed"
say "removed; what recoveries have taken is still in the brokers, under queuerecovery.dev:quarantine:* (with a global_keyprefix before it, where there is one)"
