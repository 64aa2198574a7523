"""What surrounds a recovery: its own resource, and the ways to the servers that its target names."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.ports import Broker, JobStore, Workers


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Another recovery of the namespace, as the API server has it."""

    uid: str
    spec: QueueRecoverySpec
    status: QueueRecoveryStatus


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """What the user wants of a recovery at this moment."""

    spec: QueueRecoverySpec
    generation: int
    deleting: bool


class Resource(Protocol):
    """The QueueRecovery itself, as the API server has it."""

    uid: str
    namespace: str
    name: str
    created: datetime

    @property
    def desired(self) -> DesiredState:
        """What the user wants, as last received."""
        ...

    @property
    def last_status(self) -> QueueRecoveryStatus:
        """The status as last received, read or written."""
        ...

    async def changed(self) -> None:
        """Return once the desired state has changed since the last call."""
        ...

    async def read(self) -> QueueRecoveryStatus:
        """Return the status as it is stored.

        Raises Gone when the resource is not there any more, or another one of its name is.
        """
        ...

    async def write(self, status: QueueRecoveryStatus) -> None:
        """Store the status, if it is still the one that was last read or written here.

        From the status on that says that something is about to be touched (`drainStartTime`), and until the terminal
        one, a deletion of the resource waits for the operator. Where it is too late for that, only an ending is stored.

        Raises Superseded when another process has written it since, or when it is too late to let a deletion wait, and
        Gone as `read`.
        """
        ...


class World(Protocol):
    """Everything else, of the recovery's namespace."""

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
        """Return the target of that name; raises NotYet (`TargetNotFound`).

        What `broker` and `job_store` read is kept until this is called again.
        """
        ...

    async def recovery(self, name: str) -> Earlier:
        """Return the recovery of that name; raises Rejected (`RecoveryNotFound`)."""
        ...

    async def cluster_uid(self) -> str | None:
        """Return what tells the cluster from all others; None: the operator may not read it. Raises Unavailable."""
        ...

    async def exists(self, name: str, uid: str, *, unfinished: bool = False) -> bool | None:
        """Tell whether the recovery of that `namespace/name` and UID exists, in any namespace of the cluster.

        With `unfinished`, one that has ended counts as gone.
        False only when the API server proves that it does not; None when the operator may not look there.

        Raises Unavailable (`KubernetesUnavailable`).
        """
        ...

    async def is_terminating(self) -> bool:
        """Tell whether the namespace is gone, or being deleted with all that is in it; raises Unavailable."""
        ...

    async def broker(self, target: QueueTargetSpec) -> Broker:
        """Return the target's broker; raises NotYet (`SecretNotFound`, `SecretKeyMissing`, `InvalidBrokerURL`)."""
        ...

    async def job_store(self, target: QueueTargetSpec) -> JobStore:
        """Return the target's job store, which it has; raises NotYet as `broker`, and `InvalidJobStoreURL`."""
        ...

    async def check_permissions(self, target: QueueTargetSpec, workers: Iterable[str]) -> None:
        """Raise NotYet (`Forbidden`) when the operator may not read the target's Secrets, or stop these Deployments."""
        ...

    async def changed(self, *, workers: bool) -> None:
        """Return once something that was read here is seen to have changed: a target, a Secret, rights, a Deployment.

        What was read is counted from the last call of `target` on; a Deployment, which counts only with `workers`, from
        when it was last looked at.
        Costs nothing that grows with the time, and raises nothing.
        """
        ...


class Superseded(Exception):
    """The resource is not as it was known, by another process's write or a deletion: read it, and go on from there."""


class Gone(Exception):
    """The resource is not there any more."""
