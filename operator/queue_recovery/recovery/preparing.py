"""Preparing: the steps before anything is touched, and the state of a recovery that waits there."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from queue_recovery.recovery.decide import UNLESS_RESOLVED
from queue_recovery.recovery.phase import awaits_approval, timestamp
from queue_recovery.recovery.ports.resource import NO_ANNOTATIONS, Annotations, DesiredState
from queue_recovery.recovery.recovery import Recovery

_SECONDS: Final = 1.0
"""Seconds for which a step may occupy the slot to prepare; a longer one is waiting for a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Requeue:
    """The state of a recovery that has touched nothing and waits for a new spec, its turn or an approval."""

    generation: int
    """Of the last spec that was read."""
    annotations: Annotations = NO_ANNOTATIONS
    """As last read."""
    proposed_for: str = ""
    """The label, as last read."""
    target: str | None = None
    """Name of the target whose change it waits for, too: it awaits an approval, or was proposed for a cause."""
    seconds: float
    """Seconds until the deadline; infinite while the recovery is suspended or awaits an approval."""
    for_turn: bool
    """Whether the recovery waits for its turn."""


def is_preparing(recovery: Recovery) -> bool:
    """Tell whether the recovery has touched nothing and has no ending."""
    return recovery.status.drain_start_time is None and recovery.status.ending is None


def waiting(recovery: Recovery, seen: DesiredState) -> Requeue:
    """Return the state of a waiting recovery; `seen` is the desired state that was read."""
    asks_target = awaits_approval(recovery.status) or seen.proposed_for
    return Requeue(
        generation=seen.generation,
        annotations=seen.annotations,
        proposed_for=seen.proposed_for,
        target=seen.spec.target_ref.name if asks_target else None,
        seconds=recovery.seconds_left,
        for_turn=recovery.turn.awaits is not None,
    )


def deadline_note(recovery: Recovery) -> str:
    """Return the start of a message: that the recovery is suspended, or its deadline; empty for an ending."""
    if is_preparing(recovery) and recovery.spec.suspend and recovery.status.plan is None:
        return "suspended, but no plan can be made yet: "
    until = None if recovery.status.ending else recovery.deadline
    return "" if until is None else f"fails at {timestamp(until)}{UNLESS_RESOLVED}"


@contextmanager
def bounded(recovery: Recovery) -> Iterator[None]:
    """Release the slot to prepare if the block takes long, or once the recovery starts its drain."""
    timer = asyncio.get_running_loop().call_later(_SECONDS, recovery.turn.stop_preparing)
    try:
        yield
    finally:
        timer.cancel()
        if not is_preparing(recovery):
            recovery.turn.stop_preparing()
