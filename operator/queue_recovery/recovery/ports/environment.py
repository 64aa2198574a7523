"""What a recovery needs of its namespace, and the ways to the servers that its target names."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.ports.broker import Broker
from queue_recovery.recovery.ports.job_store import JobStore
from queue_recovery.recovery.ports.workers import Workers


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Another recovery of the namespace, as the API server has it."""

    uid: str
    spec: QueueRecoverySpec
    status: QueueRecoveryStatus


class Environment(Protocol):
    """A namespace: its targets, Secrets, Deployments and recoveries, and the servers that its targets name."""

    cluster: str
    """Identity of the Kubernetes cluster, which others may share."""

    @property
    def workers(self) -> Workers:
        """The Deployments of the namespace."""
        ...

    def now(self) -> datetime:
        """Return the time, with its zone."""
        ...

    async def pause(self, seconds: float) -> None:
        """Let this much time pass."""
        ...

    async def target(self, name: str) -> QueueTargetSpec:
        """Return the target of that name; raises RecoveryError (`TargetNotFound`).

        What `broker` and `job_store` read is kept until this is called again.
        """
        ...

    async def recovery(self, name: str) -> Earlier:
        """Return the recovery of that name; raises RecoveryError (`RecoveryNotFound`)."""
        ...

    async def cluster_uid(self) -> str | None:
        """Return what tells the cluster from all others; None: the operator may not read it. Raises RecoveryError."""
        ...

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        """Tell whether the recovery of that `namespace/name` and UID exists, in any namespace of the cluster.

        With `unfinished`, one that has ended counts as gone.
        False only when the API server proves that it does not; None when the operator may not look there.

        Raises RecoveryError (`KubernetesUnavailable`).
        """
        ...

    async def is_terminating(self) -> bool:
        """Tell whether the namespace is gone, or being deleted with all that is in it; raises RecoveryError."""
        ...

    async def broker(self, target: QueueTargetSpec) -> Broker:
        """Return the target's broker.

        Raises RecoveryError (`SecretNotFound`, `SecretKeyMissing`, `InvalidBrokerURL`).
        """
        ...

    async def job_store(self, target: QueueTargetSpec) -> JobStore:
        """Return the target's job store, which it has; raises RecoveryError as `broker`, and `InvalidJobStoreURL`."""
        ...

    async def check_permissions(self, target: QueueTargetSpec, workers: Iterable[str]) -> None:
        """Raise RecoveryError (`Forbidden`) unless the operator may read the Secrets and stop these Deployments."""
        ...

    async def changed(self, *, workers: bool) -> None:
        """Return once something that was read here is seen to have changed: a target, a Secret, rights, a Deployment.

        What was read is counted from the last call of `target` on; a Deployment, which counts only with `workers`, from
        when it was last looked at.
        Costs nothing that grows with the time, and raises nothing.
        """
        ...
