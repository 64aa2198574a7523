"""What a recovery needs of its own resource."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus


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


class Superseded(Exception):
    """The resource is not as it was known, by another process's write or a deletion: read it, and go on from there."""


class Gone(Exception):
    """The resource is not there any more."""
