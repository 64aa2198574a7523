"""The interface to what scales the workers: KEDA's ScaledObjects and HorizontalPodAutoscalers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from queue_recovery.api.worker_ref import WorkerRef


@dataclass(frozen=True, kw_only=True)
class PausedBy:
    """The recovery that has paused a ScaledObject, as noted on it."""

    uid: str
    name: str
    """Of the recovery, which is in the same namespace."""


@dataclass(frozen=True, kw_only=True)
class ScaledObject:
    """A ScaledObject that scales a worker, as read at one moment."""

    name: str
    uid: str
    resource_version: str
    is_paused: bool
    """Whether KEDA leaves the replicas as they are. A pause at a number of replicas does not count: KEDA sets it."""
    paused_by: PausedBy | None
    """None: if it is paused, the user has paused it."""
    is_labelled: bool
    """Whether its labels say so too, by which others find it."""


@dataclass(frozen=True, kw_only=True)
class Autoscaler:
    """A HorizontalPodAutoscaler that may scale a worker up although it has 0 replicas."""

    name: str
    worker: WorkerRef


@dataclass(frozen=True, kw_only=True)
class Autoscaling:
    """What may scale the workers up while a recovery has them at 0."""

    scaled_objects: Sequence[ScaledObject]
    from_zero: Sequence[Autoscaler]


class Autoscalers(Protocol):
    """The autoscalers of one namespace."""

    async def look(self, workers: Sequence[WorkerRef]) -> Autoscaling:
        """Return the autoscalers of these workers.

        What the operator may not list, or what is not installed, counts as none: the drain notices what scales the
        workers up. Raises RecoveryError (`KubernetesUnavailable`).
        """
        ...

    async def pause(self, scaled_object: ScaledObject, by: PausedBy) -> None:
        """Pause a ScaledObject, and note on it who has, and how it was before.

        Does so only if it is unchanged since it was read: RecoveryError (`WorkerChanged`), read it again. Raises also
        RecoveryError (`Forbidden`, `WorkerWriteRefused`) where the change is denied.
        """
        ...

    async def unpause(self, name: str, uid: str, *run_uids: str) -> None:
        """Give the ScaledObject the pause back that it had, if one of these recoveries has paused it.

        Otherwise its resourceVersion changes, so that a late `pause` fails; where this is denied, so is that `pause`.
        One that is gone, or another one of the same name (by `uid`) that no recovery of these has paused, is left
        alone. Raises RecoveryError (`Forbidden`, `WorkerWriteRefused`) if it may be paused and the change is denied.
        """
        ...
