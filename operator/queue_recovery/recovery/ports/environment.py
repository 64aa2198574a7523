"""The interface to a recovery's namespace and to the servers that its target names."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.ports.autoscalers import Autoscalers
from queue_recovery.recovery.ports.broker import Broker
from queue_recovery.recovery.ports.job_store import JobStore
from queue_recovery.recovery.ports.ledger import Ledger
from queue_recovery.recovery.ports.results import Results
from queue_recovery.recovery.ports.workers import Workers


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Another recovery of the namespace, as read from the API server."""

    uid: str
    spec: QueueRecoverySpec
    status: QueueRecoveryStatus


@dataclass(frozen=True, kw_only=True)
class TargetReport:
    """What the status of a target says."""

    status: QueueTargetStatus
    is_current: bool
    """Whether this process has looked at the target's queues often enough, so that nothing in it is from before."""


class Environment(Protocol):
    """A namespace: its targets, Secrets, Deployments and recoveries, and the servers that its targets name."""

    cluster: str
    """Name of the Kubernetes cluster, which may not be unique."""

    @property
    def workers(self) -> Workers:
        """The workers of the namespace."""
        ...

    @property
    def autoscalers(self) -> Autoscalers:
        """What scales these workers."""
        ...

    def now(self) -> datetime:
        """Return the current time, with its zone."""
        ...

    async def pause(self, seconds: float) -> None:
        """Wait for this many seconds."""
        ...

    async def target(self, name: str) -> QueueTargetSpec:
        """Return the target of that name; raises RecoveryError (`TargetNotFound`).

        The Secrets that `broker` and `job_store` read are cached until the next call.
        """
        ...

    async def target_report(self, name: str) -> TargetReport:
        """Return what the status of a target says now; raises as `target`."""
        ...

    async def recovery(self, name: str) -> Earlier:
        """Return the recovery of that name; raises RecoveryError (`RecoveryNotFound`)."""
        ...

    def ledger(self, target: str, key: str) -> Ledger:
        """Return the ledger's entry with this key, for a recovery of the target of that name."""
        ...

    async def cluster_uid(self) -> str | None:
        """Return the UID of the cluster; None: the operator may not read it. Raises RecoveryError."""
        ...

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        """Tell whether the recovery with this `namespace/name` and UID exists in the cluster.

        With `unfinished`, a recovery that has ended counts as gone. Returns False only if the API server proves that it
        does not exist, and None if the operator may not read that namespace.

        Raises RecoveryError (`KubernetesUnavailable`).
        """
        ...

    async def is_terminating(self) -> bool:
        """Tell whether the namespace is deleted or being deleted; raises RecoveryError."""
        ...

    async def broker(self, target: QueueTargetSpec) -> Broker:
        """Return the target's broker.

        Raises RecoveryError (`SecretNotFound`, `SecretKeyMissing`, `InvalidBrokerURL`).
        """
        ...

    async def job_store(self, target: QueueTargetSpec) -> JobStore:
        """Return the job store of a target that has one; raises as `broker`, and `InvalidJobStoreURL`."""
        ...

    async def results(self, target: QueueTargetSpec) -> Results:
        """Return Celery's results of a target that says where they are; raises as `broker`."""
        ...

    async def check_permissions(self, target: QueueTargetSpec, workers: Iterable[WorkerRef]) -> None:
        """Raise RecoveryError (`Forbidden`) unless the operator may read the Secrets and stop these workers."""
        ...

    async def changed(self, *, workers: bool) -> None:
        """Return once an object that was read has changed: a target, a Secret, permissions, a Deployment.

        Covers the objects read since the last call of `target`; with `workers`, also Deployments, since each was last
        read. The number of requests does not grow with the time. Never raises.
        """
        ...
