"""The interface to the workers: Deployments, StatefulSets, Rollouts and others that can be scaled."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from queue_recovery.api.base import GROUP
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.evidence import ContainerEnd

MOST_CHARACTERS: Final = 63
"""The longest value of a label."""

HELD_BY: Final = f"{GROUP}/held-by"
"""The label of a held Deployment with the name of the recovery, which is in the same namespace."""

HELD_BY_UID: Final = f"{GROUP}/held-by-uid"
"""The label with that recovery's UID."""

SCALE_BACK_TO: Final = f"{GROUP}/scale-back-to"
"""The label with the replicas to which the Deployment is scaled back."""


MOST_CHARACTERS_OF_IMAGES: Final = 8192
"""Of the images of one worker together; a comparison takes at most a millisecond then."""

RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"
"""The annotation of a pod template by which `kubectl rollout restart` restarts the pods."""


@dataclass(frozen=True, kw_only=True)
class ScaleBackNote:
    """The labels of a held Deployment: enough to scale it back by hand."""

    uid: str
    """UID of the recovery that holds the Deployment."""
    name: str
    """Name of that recovery, which is in the same namespace."""
    replicas: int
    """What to scale it back to."""


@dataclass(frozen=True, kw_only=True)
class ScaledDown:
    """A Deployment as recorded in the recovery's status, which is used if the labels are gone."""

    generation: int
    """The generation at which it was observed drained."""
    replicas: int
    """What to scale it back to."""


@dataclass(frozen=True, kw_only=True)
class Worker:
    """A worker, as read at one moment."""

    ref: WorkerRef
    uid: str
    resource_version: str
    generation: int
    replicas: int
    """The replicas in its spec."""
    paused: bool
    note: ScaleBackNote | None
    note_is_damaged: bool
    """Whether it has some labels of a note, but not a complete valid note."""
    pods: int
    """Its pods that have not ended, terminating ones included."""
    addresses: frozenset[str]
    """Addresses of these pods, without those that they share with their node."""
    stopping: str
    """The pods that are still stopping, and until when they may run, as text."""
    stops_by: str | None
    """When the last of these has to end, in RFC 3339; None: none is stopping."""
    vanished: tuple[str, ...]
    """Names of its pods that disappeared without an observed end, so that their processes may still run."""
    grace_seconds: int
    """Seconds that its pods may take to end."""
    drained: bool
    """Whether it is scaled to 0, its controller has observed this, and it has no live pod."""
    rollout: str | None
    """What its rollout waits for, as `kubectl rollout status` reports it; None: complete."""
    scaled_by: str | None = None
    """The field manager that has set its replicas last; None: the server does not say."""
    images: Mapping[str, str] = field(default_factory=dict, hash=False)
    """The images of its pod template, by the container's name."""
    ends: tuple[ContainerEnd, ...] = ()
    """How the containers of these pods were restarted and have ended, of those that were."""
    restarted_at: str | None = None
    """When its pods were last restarted, as any client wrote it; None: never."""
    unsettled: str | None = None
    """Why it must not be scaled to 0 now: an update would have another outcome. None: it may be."""
    deletes_volumes: bool = False
    """Whether its controller deletes the volumes of its pods when it is scaled to 0."""
    keeps_pods: str | None = None
    """Why another template leaves some of its pods as they are; None: it replaces all."""
    outdated: str | None = None
    """Which of its pods are not of its template although its rollout is complete; None: all are."""
    oldest_process: datetime | None = None
    """The earliest time at which a running process of its pods may have been started, by its node's clock; None: it
    has no pod that has not ended."""
    holds_since: datetime | None = None
    """The earliest delivery that a running process of its pods may hold, by the clock of its node; None: no pod."""
    running_pods: Mapping[str, int] = field(default_factory=dict, compare=False)
    """The seconds that each of these pods may take to end, by its name.

    Only of pods whose containers run and were never restarted, if no two pods of the worker ever have the same name: of
    such a pod there has been one process only that its name stands for.
    """
    connects_from: frozenset[str] = frozenset()
    """The addresses from which these pods may connect to the broker: their own, and those of their nodes."""
    ready_since: tuple[datetime, ...] = field(default=(), compare=False)
    """Since when those of its pods are ready that are not being stopped, the longest first."""
    may_hold_nothing: bool = field(default=False, compare=False)
    """Whether its command says that it may hold no message while it runs a task."""

    @property
    def name(self) -> str:
        """Its name, without its kind."""
        return self.ref.name


@dataclass(frozen=True, kw_only=True)
class WorkerOutline:
    """What is read of a worker before anything is touched."""

    ref: WorkerRef
    paused: bool
    deletes_volumes: bool = False
    """As that of a `Worker`."""
    applied_by: tuple[str, ...] = ()
    """The field managers that set its replicas with each server-side apply."""
    unsettled: str | None = None
    """As that of a `Worker`, like the next one."""
    keeps_pods: str | None = None


class Workers(Protocol):
    """The workers of one namespace."""

    async def look(self, workers: Sequence[WorkerRef]) -> Sequence[Worker]:
        """Return these workers as they are now, in this order.

        While they are followed, their ReplicaSets are those of the watch.

        Raises RecoveryError (`WorkerNotFound`, `Forbidden`, `KubernetesUnavailable`).
        """
        ...

    async def outline(self, workers: Sequence[WorkerRef]) -> Sequence[WorkerOutline]:
        """Return these workers in outline; raises as `look`, but needs fewer requests.

        While a watch covers a worker, no request is sent for it.
        """
        ...

    def follow(self, workers: Sequence[WorkerRef], *, fresh: bool = True) -> AsyncGenerator[Sequence[Worker], None]:
        """Yield these workers as they are now, and again after every change of them or of their pods.

        Unless `fresh` is set, the first answer may lag behind, but not further than the last read or write.

        After the first answer, the end of every pod is observed. Uses a watch and never polls, so the number of
        requests does not grow with the waiting time.
        """
        ...

    async def changed(self) -> None:
        """Return once a worker has changed since it was last read.

        A change is a creation, a deletion, another generation, another recovery that holds it, or the end of an
        update. Uses a watch; sends
        no request before a worker was read, and never raises.
        """
        ...

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        """Write the note and 0 replicas in one step, if the worker is unchanged since it was read.

        Returns the new generation. Raises RecoveryError (`WorkerChanged`) if the worker has changed: read it again.
        """
        ...

    async def restart(self, worker: Worker, restarted_at: str) -> None:
        """Restart the pods, as the command-line tool of its kind does, if the worker is unchanged since it was read.

        With the value that it has already, no pod is restarted. Raises RecoveryError (`WorkerChanged`) if the
        worker has changed: read it again.
        """
        ...

    async def scale_back(
        self, ref: WorkerRef, uid: str, *run_uids: str, scaled_down: ScaledDown | None = None
    ) -> int | None:
        """Set the worker's recorded replicas and remove the note, if it is of one of these recoveries.

        The note is valid on any worker of this name, even on one that was created again with it. If the note is
        gone, but the worker is otherwise as recorded (`scaled_down`), the replicas are set too.

        Returns the replicas written, or None if there was no note. Even then the worker's resourceVersion changes,
        so that a late write that scales to 0 fails. A worker that is gone, or another one of the same name (by
        `uid`) without the note, is not changed.
        """
        ...
