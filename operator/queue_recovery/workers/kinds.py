"""What differs between the kinds of workers: whose pods are theirs, when they are at 0, and what a rollout waits for.

Pure. A kind that differs from the convention has a row of its own in `KINDS`; all others are `SCALABLE`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from queue_recovery.api.worker_ref import DEPLOYMENT, ROLLOUT, STATEFUL_SET, GroupVersionKind
from queue_recovery.recovery.ports import RESTARTED_AT
from queue_recovery.recovery.wording import counted
from queue_recovery.workers import argo_rollouts, stateful_sets
from queue_recovery.workers.objects import Pod, ReplicaSet
from queue_recovery.workers.observed import (
    NOT_OBSERVED,
    has_observed_zero,
    is_observed,
    replica_sets_are_at_zero,
    replicas_wait_for,
)
from queue_recovery.workers.workloads import Workload


class PodsOf(Enum):
    """Which pods are those of a worker."""

    REPLICA_SETS = auto()
    """Those that its ReplicaSets control."""
    ITSELF = auto()
    """Those that it controls."""
    SELECTOR = auto()
    """Those that its `scale` subresource selects, and those that it or a ReplicaSet of it controls."""


def _restart_by_annotation(restarted_at: str) -> Mapping[str, object]:
    """Return the spec with which `kubectl rollout restart` restarts pods."""
    return {"template": {"metadata": {"annotations": {RESTARTED_AT: restarted_at}}}}


def _restart_at(restarted_at: str) -> Mapping[str, object]:
    """Return the spec with which `kubectl argo rollouts restart` does; another template would start an update."""
    return {"restartAt": restarted_at}


def _nothing(_: Workload) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class WorkloadKind:
    """One kind of worker."""

    pods_of: PodsOf
    is_at_zero: Callable[[Workload, Collection[ReplicaSet]], bool]
    """Whether its controller has observed its 0 replicas, and so creates no more pods; takes its own ReplicaSets."""
    waits_for: Callable[[Workload, Collection[Pod]], str | None]
    """What its rollout waits for, judged as its command-line tool does; takes its live pods. None: complete."""
    unsettled: Callable[[Workload], str | None] = _nothing
    """Why scaling it to 0 now would change the outcome of an update; None: it would not."""
    keeps_pods: Callable[[Workload], str | None] = _nothing
    """Why another template leaves some of its pods as they are; None: it replaces all."""
    restart: Callable[[str], Mapping[str, object]] | None = _restart_by_annotation
    """Returns the spec that restarts its pods at a time; None: no such spec is known."""

    @property
    def has_replica_sets(self) -> bool:
        """Whether its ReplicaSets are read."""
        return self.pods_of is not PodsOf.ITSELF


def _deployment_is_at_zero(deployment: Workload, replica_sets: Collection[ReplicaSet]) -> bool:
    return (
        has_observed_zero(deployment)
        and deployment.status.terminating_replicas == 0
        and replica_sets_are_at_zero(replica_sets)
    )


def _scalable_is_at_zero(found: Workload, replica_sets: Collection[ReplicaSet]) -> bool:
    return has_observed_zero(found) and replica_sets_are_at_zero(replica_sets)


def _deployment_waits_for(deployment: Workload, _: Collection[Pod]) -> str | None:
    if not is_observed(deployment):
        return NOT_OBSERVED
    if any(condition.reason == "ProgressDeadlineExceeded" for condition in deployment.status.conditions):
        return "it exceeded its progress deadline"
    return replicas_wait_for(deployment)


def _scalable_waits_for(found: Workload, live: Collection[Pod]) -> str | None:
    if not is_observed(found):
        return NOT_OBSERVED
    wanted = found.spec.replicas
    staying = [pod for pod in live if pod.metadata.deletion_timestamp is None]
    if len(live) > len(staying):
        return f"{counted(len(live) - len(staying), 'old replica')} pending termination"
    if len(staying) > wanted:
        return f"{counted(len(staying) - wanted, 'old replica')} pending termination"
    ready = sum(pod.is_ready for pod in staying)
    return None if ready >= wanted else f"{ready} of {wanted} replicas are ready"


KINDS: Final[Mapping[GroupVersionKind, WorkloadKind]] = {
    DEPLOYMENT: WorkloadKind(
        pods_of=PodsOf.REPLICA_SETS, is_at_zero=_deployment_is_at_zero, waits_for=_deployment_waits_for
    ),
    STATEFUL_SET: WorkloadKind(
        pods_of=PodsOf.ITSELF,
        is_at_zero=stateful_sets.is_at_zero,
        waits_for=stateful_sets.waits_for,
        unsettled=stateful_sets.unsettled,
        keeps_pods=stateful_sets.keeps_pods,
    ),
    ROLLOUT: WorkloadKind(
        pods_of=PodsOf.REPLICA_SETS,
        is_at_zero=argo_rollouts.is_at_zero,
        waits_for=argo_rollouts.waits_for,
        unsettled=argo_rollouts.unsettled,
        restart=_restart_at,
    ),
}

SCALABLE: Final = WorkloadKind(
    pods_of=PodsOf.SELECTOR, is_at_zero=_scalable_is_at_zero, waits_for=_scalable_waits_for, restart=None
)
"""Any other kind that has a `scale` subresource, as far as it follows the conventions of Kubernetes."""


def kind_of(gvk: GroupVersionKind) -> WorkloadKind:
    """Return how workers of a kind are judged."""
    return KINDS.get(gvk, SCALABLE)
