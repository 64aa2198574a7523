"""What differs between the kinds of workers: who controls their pods, when they are at 0, and what a rollout waits for.

Pure. A further kind is a row of `KINDS`, and its requests in `namespace.py`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from queue_recovery.api.worker_ref import WorkerKind
from queue_recovery.recovery.wording import counted
from queue_recovery.workers.objects import ReplicaSet, Workload

NOT_OBSERVED: Final = "its controller has not observed the change yet"


@dataclass(frozen=True)
class WorkloadKind:
    """One kind of worker."""

    resource: str
    """The plural in the API group `apps`."""
    pods_of: str
    """The kind of the object that controls its pods."""
    is_at_zero: Callable[[Workload, Collection[ReplicaSet]], bool]
    """Whether its controller has observed its 0 replicas, and so creates no more pods; takes its own ReplicaSets."""
    waits_for: Callable[[Workload], str | None]
    """What its rollout waits for, judged as `kubectl rollout status` does; None: complete."""


def _deployment_is_at_zero(deployment: Workload, replica_sets: Collection[ReplicaSet]) -> bool:
    return (
        _has_observed_zero(deployment)
        and deployment.status.terminating_replicas == 0
        and all(
            one.spec.replicas == 0
            and one.status.observed_generation >= one.metadata.generation
            and one.status.replicas == 0
            for one in replica_sets
        )
    )


def _stateful_set_is_at_zero(stateful_set: Workload, _: Collection[ReplicaSet]) -> bool:
    return _has_observed_zero(stateful_set)


def _has_observed_zero(found: Workload) -> bool:
    status = found.status
    return found.spec.replicas == 0 and status.observed_generation >= found.metadata.generation and status.replicas == 0


def _deployment_waits_for(deployment: Workload) -> str | None:
    wanted, status = deployment.spec.replicas, deployment.status
    if deployment.metadata.generation > status.observed_generation:
        return NOT_OBSERVED
    if any(condition.reason == "ProgressDeadlineExceeded" for condition in status.conditions):
        return "it exceeded its progress deadline"
    if status.updated_replicas < wanted:
        return f"{status.updated_replicas} of {wanted} new replicas have been updated"
    if status.replicas > status.updated_replicas:
        return f"{counted(status.replicas - status.updated_replicas, 'old replica')} pending termination"
    if status.available_replicas < status.updated_replicas:
        return f"{status.available_replicas} of {status.updated_replicas} updated replicas are available"
    return None


def _stateful_set_waits_for(stateful_set: Workload) -> str | None:
    wanted, status = stateful_set.spec.replicas, stateful_set.status
    if stateful_set.metadata.generation > status.observed_generation:
        return NOT_OBSERVED
    if status.replicas > wanted:
        return f"{counted(status.replicas - wanted, 'old replica')} pending termination"
    if status.ready_replicas < wanted:
        return f"{status.ready_replicas} of {wanted} replicas are ready"
    return _update_waits_for(stateful_set)


def _update_waits_for(stateful_set: Workload) -> str | None:
    wanted, status, strategy = stateful_set.spec.replicas, stateful_set.status, stateful_set.spec.update_strategy
    due = max(0, wanted - strategy.rolling_update.partition)
    if strategy.type != "RollingUpdate":
        return None  # a pod gets the new template only when somebody deletes it
    is_complete = status.update_revision == status.current_revision if due == wanted else status.updated_replicas >= due
    return None if is_complete else f"{status.updated_replicas} of {due} replicas have been updated"


KINDS: Final[Mapping[WorkerKind, WorkloadKind]] = {
    "Deployment": WorkloadKind("deployments", "ReplicaSet", _deployment_is_at_zero, _deployment_waits_for),
    "StatefulSet": WorkloadKind("statefulsets", "StatefulSet", _stateful_set_is_at_zero, _stateful_set_waits_for),
}
