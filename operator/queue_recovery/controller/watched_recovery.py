"""A recovery that is not finished, between two watch events."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from queue_recovery.controller.recovery_outline import RecoveryOutline
from queue_recovery.controller.resource import (
    KubernetesResource,
    annotations_of,
    has_begun,
    is_deleted,
    is_finished,
    proposed_for,
)
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.turn import Turn

_LAG: Final = 10.0
"""Seconds that the watch may lag behind the last write to a resource, which is read again after that."""


class WatchedRecovery:
    """A recovery that is not finished, as last received."""

    __slots__ = (
        *("_received", "attempted", "body", "gone", "is_ended", "is_target_changed", "name", "namespace"),
        *("outline", "resource", "task", "timer", "turn", "uid", "waiting"),
    )

    def __init__(self, namespace: str, name: str, uid: str, turn: Turn, outline: RecoveryOutline) -> None:
        self.namespace, self.name, self.uid = namespace, name, uid
        self.outline = outline
        """As last received, also while it waits."""
        self.turn = turn
        self.body: Mapping[str, Any] | None = None
        """None while it waits: it is read again then."""
        self.attempted: Mapping[str, Any] | None = None
        """The body with which its task has last begun: what was read since is newer."""
        self.gone = False
        """Whether the resource was deleted, so that no later event comes."""
        self.is_ended = False
        """Whether the resource was deleted, and what it held is released."""
        self.is_target_changed = False
        """Whether a target of the namespace was edited since this one's task has last read anything."""
        self.task: asyncio.Task[None] | None = None
        self.resource: KubernetesResource | None = None
        """Receives the events while it is being reconciled."""
        self.waiting: Requeue | None = None
        """How it waits, while it has no task."""
        self.timer: asyncio.TimerHandle | None = None
        self._received: asyncio.Event | None = None
        """Set by an event while one is awaited."""

    @property
    def is_over(self) -> bool:
        return self.is_ended or (self.body is not None and is_finished(self.body))

    def receive(self, body: Mapping[str, Any], *, gone: bool) -> None:
        self.body, self.gone = body, self.gone or gone
        if self._received is not None:
            self._received.set()
        if self.resource is not None:
            self.resource.receive(body, gone=gone)

    def may_wait(self, waiting: Requeue) -> bool:
        """Return whether nothing relevant has happened since it began to wait."""
        if waiting.for_turn and self.turn.awaits is None:
            return False
        if waiting.target is not None and self.is_target_changed:
            return False
        if self.body is None or self.body is self.attempted:
            return True
        return not is_relevant(self.body, waiting, gone=self.gone)

    def stop_waiting(self) -> None:
        self.waiting = None
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    async def catch_up(self, generation: int) -> None:
        """Wait until the watch has caught up with the last write.

        That is when it shows that the recovery is over, or a newer generation.
        """
        received = self._received = asyncio.Event()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LAG):
                while not (self.is_over or self.gone or self._generation > generation):
                    received.clear()
                    await received.wait()

    @property
    def _generation(self) -> int:
        """The generation of its spec, as last received."""
        return 0 if self.body is None else int(self.body["metadata"]["generation"])


def is_relevant(body: Mapping[str, Any], waiting: Requeue, *, gone: bool) -> bool:
    """Return whether an event has more than the waiting recovery's own writes."""
    return (
        gone
        or is_deleted(body)
        or has_begun(body)
        or body["metadata"]["generation"] > waiting.generation
        or annotations_of(body) != waiting.annotations
        or proposed_for(body) != waiting.proposed_for
    )
