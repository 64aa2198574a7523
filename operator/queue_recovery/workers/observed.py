"""What the controllers of all kinds of workers tell in the same way. Pure."""

from collections.abc import Collection
from typing import Final

from queue_recovery.recovery.wording import counted
from queue_recovery.workers.objects import ReplicaSet
from queue_recovery.workers.workloads import Workload

NOT_OBSERVED: Final = "its controller has not observed the change yet"


def is_observed(found: Workload) -> bool:
    """Return whether the controller has observed the worker's spec as it is."""
    return found.status.observed_generation >= found.metadata.generation


def has_observed_zero(found: Workload) -> bool:
    """Return whether the controller has observed the 0 replicas, and counts no pod."""
    return found.spec.replicas == 0 and is_observed(found) and found.status.replicas == 0


def replica_sets_are_at_zero(own: Collection[ReplicaSet]) -> bool:
    """Return whether the same holds for each of the worker's ReplicaSets."""
    return all(
        one.spec.replicas == 0
        and one.status.observed_generation >= one.metadata.generation
        and one.status.replicas == 0
        for one in own
    )


def replicas_wait_for(found: Workload) -> str | None:
    """Describe which replicas are not updated, not gone or not available yet; None: all are as they should be."""
    wanted, status = found.spec.replicas, found.status
    if status.updated_replicas < wanted:
        return f"{status.updated_replicas} of {wanted} new replicas have been updated"
    if status.replicas > status.updated_replicas:
        return f"{counted(status.replicas - status.updated_replicas, 'old replica')} pending termination"
    if status.available_replicas < status.updated_replicas:
        return f"{status.available_replicas} of {status.updated_replicas} updated replicas are available"
    return None
