"""StatefulSets: when one is at 0, and what its updates have to do with that. Pure.

Judged as its controller does (`pkg/controller/statefulset` of Kubernetes 1.35). An update by `partition` must not be
stopped half-way: at 0 replicas all of them count as updated, so the controller gives every later pod the new template.
"""

from collections.abc import Collection

from queue_recovery.recovery.wording import counted
from queue_recovery.workers.objects import Pod, ReplicaSet
from queue_recovery.workers.observed import NOT_OBSERVED, has_observed_zero, is_observed
from queue_recovery.workers.workloads import Workload


def is_at_zero(stateful_set: Workload, _: Collection[ReplicaSet]) -> bool:
    """Return whether the controller has observed the 0 replicas, and so creates no more pods."""
    return has_observed_zero(stateful_set)


def waits_for(stateful_set: Workload, _: Collection[Pod]) -> str | None:
    """Describe what the rollout waits for, as `kubectl rollout status` does; None: it is complete."""
    wanted, status = stateful_set.spec.replicas, stateful_set.status
    if not is_observed(stateful_set):
        return NOT_OBSERVED
    if status.replicas > wanted:
        return f"{counted(status.replicas - wanted, 'old replica')} pending termination"
    if status.ready_replicas < wanted:
        return f"{status.ready_replicas} of {wanted} replicas are ready"
    return _update_waits_for(stateful_set)


def unsettled(stateful_set: Workload) -> str | None:
    """Describe why a scaling to 0 would complete an update that a partition holds; None: it would not."""
    status, partition = stateful_set.status, _partition(stateful_set)
    if not partition:
        return None
    if stateful_set.spec.replicas > 0 and not is_observed(stateful_set):
        return NOT_OBSERVED
    if status.update_revision == status.current_revision:
        return None
    return (
        f"updateStrategy.rollingUpdate.partition is {partition}, and at 0 replicas its update would be completed for "
        "all pods"
    )


def keeps_pods(stateful_set: Workload) -> str | None:
    """Describe why another template leaves some of its pods as they are; None: it replaces all."""
    strategy, partition = stateful_set.spec.update_strategy, _partition(stateful_set)
    if strategy.type != "RollingUpdate":
        return f"updateStrategy.type is {strategy.type}"
    return f"updateStrategy.rollingUpdate.partition is {partition}" if partition else None


def _update_waits_for(stateful_set: Workload) -> str | None:
    wanted, status, strategy = stateful_set.spec.replicas, stateful_set.status, stateful_set.spec.update_strategy
    due = max(0, wanted - _partition(stateful_set))
    if strategy.type != "RollingUpdate":
        return None  # a pod gets the new template only when somebody deletes it
    is_complete = status.update_revision == status.current_revision if due == wanted else status.updated_replicas >= due
    return None if is_complete else f"{status.updated_replicas} of {due} replicas have been updated"


def _partition(stateful_set: Workload) -> int:
    """Return below which number pods keep the former template."""
    strategy = stateful_set.spec.update_strategy
    return strategy.rolling_update.partition if strategy.type == "RollingUpdate" else 0
