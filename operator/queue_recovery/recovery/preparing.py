"""Preparing: all that a recovery does before it has begun anything, and what is kept of it while it waits then."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from queue_recovery.recovery.recovery import Recovery

_SECONDS: Final = 1.0
"""Seconds for which a recovery keeps others from preparing: a step that takes longer waits for a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """A recovery that has begun nothing, and waits for a change of its spec or for its turn."""

    generation: int
    """Of the spec that it has seen."""
    seconds: float
    """How long it waits at most: until its deadline, which is never while it is suspended."""
    for_turn: bool
    """Whether it waits for its turn."""


def is_preparing(recovery: Recovery) -> bool:
    """Tell whether it has begun nothing, and is not bound to end."""
    return recovery.status.drain_start_time is None and recovery.status.ending is None


def waiting(recovery: Recovery, seen: int) -> Requeue:
    """Return how it waits; `seen` is the generation of the spec that this was decided for."""
    return Requeue(generation=seen, seconds=recovery.seconds_left, for_turn=recovery.turn.awaits is not None)


@contextmanager
def bounded(recovery: Recovery) -> Iterator[None]:
    """Give the slot to prepare back when the block takes long, or when the recovery begins in it."""
    timer = asyncio.get_running_loop().call_later(_SECONDS, recovery.turn.stop_preparing)
    try:
        yield
    finally:
        timer.cancel()
        if not is_preparing(recovery):
            recovery.turn.stop_preparing()
