"""What a recovery needs of the Deployments."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from queue_recovery.api.base import GROUP

MOST_CHARACTERS: Final = 63
"""Of a label's value."""

HELD_BY: Final = f"{GROUP}/held-by"
"""The label of a held Deployment that has the name of the recovery, which is one of its own namespace."""

HELD_BY_UID: Final = f"{GROUP}/held-by-uid"
"""The label with that recovery's UID."""

SCALE_BACK_TO: Final = f"{GROUP}/scale-back-to"
"""The label with the replicas that the Deployment is to have again."""


@dataclass(frozen=True, kw_only=True)
class ScaleBackNote:
    """What the labels of a Deployment say while a recovery holds it: enough to bring it back by hand."""

    uid: str
    """UID of the recovery that holds the Deployment."""
    name: str
    """Name of that recovery, which is of the same namespace."""
    replicas: int
    """What to scale it back to."""


@dataclass(frozen=True, kw_only=True)
class ScaledDown:
    """How a recovery has left a Deployment, as its own status says: known also where the labels are gone."""

    generation: int
    """That at which it was seen to be drained."""
    replicas: int
    """What to scale it back to."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A Deployment, as seen at one moment."""

    name: str
    uid: str
    resource_version: str
    generation: int
    replicas: int
    """What its spec asks for."""
    paused: bool
    note: ScaleBackNote | None
    note_is_damaged: bool
    """Whether some of a note's labels are there, but no note that a recovery has written."""
    pods: int
    """Its pods that have not ended, terminating ones included."""
    addresses: frozenset[str]
    """Those of these pods that are theirs alone, and not their node's."""
    stopping: str
    """Which of those pods it waits for when it is scaled down, and until when they may live."""
    stops_by: str | None
    """When the last of these has to have ended, as RFC 3339 has it; None: none is stopping."""
    vanished: tuple[str, ...]
    """Names of its pods that went while it was followed and were not seen to end: their processes may still run."""
    grace_seconds: int
    """How long its pods may take to end."""
    drained: bool
    """Scaled to 0, seen by its controller, and no pod of it lives."""
    rollout: str | None
    """What its rollout waits for, as `kubectl rollout status` would say it; None: complete."""


class Workers(Protocol):
    """The Deployments of one namespace."""

    async def look(self, names: Sequence[str]) -> Sequence[Worker]:
        """Return these Deployments as they are now, in the order of the names.

        Where they are followed, their ReplicaSets are those that the watch has told of.

        Raises RecoveryError (`WorkerNotFound`, `Forbidden`, `KubernetesUnavailable`).
        """
        ...

    async def paused(self, names: Sequence[str]) -> Sequence[str]:
        """Return which of these Deployments are paused; raises as `look`, of which it is the cheap part.

        Where a watch tells of them, it is not asked for.
        """
        ...

    def follow(self, names: Sequence[str], *, fresh: bool = True) -> AsyncGenerator[Sequence[Worker], None]:
        """Yield these Deployments as they are now, and again after every change of them or of their pods.

        The first answer may lag behind unless it is to be `fresh`, but no further than the last look or write.

        No pod ends unseen after the first answer. Watches, and never polls: the number of requests does not grow with
        the time spent waiting.
        """
        ...

    async def changed(self) -> None:
        """Return once a Deployment has changed since it was last looked at.

        It is there, gone, of another generation, or held by another recovery.

        Watches; costs nothing before any was looked at, and raises nothing.
        """
        ...

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        """Write the note and 0 replicas in one step, if the Deployment is still as it was seen.

        Returns the generation that this gave it. Raises RecoveryError (`WorkerChanged`) when it is not: look again.
        """
        ...

    async def scale_back(
        self, name: str, uid: str, *run_uids: str, scaled_down: ScaledDown | None = None
    ) -> int | None:
        """Give the Deployment its replicas back and remove the note, if the note is of one of these recoveries.

        The note counts on any Deployment of that name, also on one that was created again with it. Where it is gone,
        and the Deployment is as it was left otherwise (`scaled_down`), the replicas come back too.

        Returns the replicas written, or None when the note was not there. In that case too, a scaling write that is
        still under way must fail: the Deployment's resourceVersion is moved on. A Deployment that is gone, or
        another one of the same name (by `uid`) without the note, is left alone.
        """
        ...
