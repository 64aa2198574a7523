"""The interface to the recovery's own resource."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus

LONGEST_ANNOTATION: Final = 1000
"""Characters of an annotation that are read; no name of a user and no digest has as many."""


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """What users say in annotations; empty: nothing. Who may say it, the policies of `manifests/admission` decide.

    Waiting recoveries remember them, so each is cut at `LONGEST_ANNOTATION`.
    """

    approve: str = ""
    """The digest of what is approved."""
    approver: str = ""
    author: str = ""


NO_ANNOTATIONS: Final = Annotations()


@dataclass(frozen=True, kw_only=True)
class DesiredState:
    """What the user's spec and annotations ask for now."""

    spec: QueueRecoverySpec
    generation: int
    deleting: bool
    annotations: Annotations = NO_ANNOTATIONS
    proposed_for: str = ""
    """The label that says for which cause it was proposed; empty: for none. Any user may set and remove it."""


class Resource(Protocol):
    """The QueueRecovery itself, as stored by the API server."""

    uid: str
    namespace: str
    name: str
    created: datetime

    @property
    def desired(self) -> DesiredState:
        """The desired state, as last received."""
        ...

    @property
    def last_status(self) -> QueueRecoveryStatus:
        """The status as last received, read or written."""
        ...

    async def changed(self) -> None:
        """Return once the desired state has changed since the last call."""
        ...

    async def read(self) -> QueueRecoveryStatus:
        """Return the stored status.

        Raises Gone when the resource no longer exists, or another one has its name.
        """
        ...

    async def is_author_proven(self) -> bool:
        """Tell whether the API server has compared author and approver with the users, since before the creation.

        Raises Gone, or RecoveryError (`Forbidden`, `KubernetesUnavailable`).
        """
        ...

    async def write(self, status: QueueRecoveryStatus, *, asked: DesiredState | None = None) -> None:
        """Store the status if the stored one is unchanged since the last read or write here.

        With `asked`, only if the desired state is still this one, as stored at the moment of the write.

        A status with `drainStartTime` adds the finalizer, and the final status removes it. A resource that is already
        being deleted accepts no finalizer, so only an ending is stored for it.

        Raises Superseded when another process has written the status, when something else is asked for, or when the
        finalizer cannot be added any more, and Gone as `read`.
        """
        ...


class Superseded(Exception):
    """Another process has changed the resource, or it is being deleted: read it again."""


class Gone(Exception):
    """The resource no longer exists."""
