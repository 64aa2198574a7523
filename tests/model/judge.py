"""What may never be, and what has to be at the end."""

from collections.abc import Iterator
from typing import Literal

from tests.model.world import NOBODY, OLD, Message, Run, World

Violation = Literal[
    "double push",
    "double execution",
    "two messages of one job",
    "two recoveries at once",
    "recovery ended by another one",
    "message taken from a worker's hands",
    "message in two places",
    "message lost",
    "message of a skipped job taken",
    "old message left behind",
    "stranded job",
    "wrong books",
    "workers left at 0",
    "lock left behind",
    "recovery without end",
]

_OPEN = frozenset({"preparing", "purged", "closing"})
_TAKEN = frozenset({"purged", "restarted", "reenqueued"})


def harm(world: World, *, alone: bool) -> Iterator[Violation]:
    """Name the harm that has been done already.

    Args:
        world: how things stand.
        alone: nobody but operators scales the workers. Otherwise one may run while messages are taken, and execute
            what is in the quarantine by then; no more is promised than that the next sweep leaves nothing behind.
    """
    waiting = world.queue + world.unacked
    kept = _quarantined(world)
    if len(set(world.sent)) < len(world.sent):
        yield "double push"
    if len(set(world.executed)) < len(world.executed):
        yield "double execution"
    if len({message.job for message in waiting}) < len(waiting):
        yield "two messages of one job"
    if sum(run.state in _OPEN for run in world.runs) > 1:
        yield "two recoveries at once"
    if any(_is_robbed(world, recovery) for recovery in range(len(world.runs))):
        yield "recovery ended by another one"
    if alone and world.pods and not set(world.hands) <= set(world.unacked):
        yield "message taken from a worker's hands"
    if alone and len(waiting + kept + world.executed) > len(world.sent):
        yield "message in two places"
    if not set(world.sent) <= {*waiting, *kept, *world.executed}:
        yield "message lost"
    yield from _wrongly_taken(world, waiting)


def _wrongly_taken(world: World, waiting: tuple[Message, ...]) -> Iterator[Violation]:
    if any(_took_of_a_skipped_job(run) for run in world.runs):
        yield "message of a skipped job taken"
    if any(message.task == OLD for message in waiting) and any(status.step in _TAKEN for status in world.statuses):
        yield "old message left behind"


def fault(world: World) -> Iterator[Violation]:
    """Name what is wrong when no operator has anything left to do.

    What a recovery has left that was removed by force is the next one's to put in order, if there has been one; so is a
    lock that a late process of it has taken since, before it died too.
    """
    others = [status for recovery, status in enumerate(world.statuses) if recovery != world.vanished]
    if _left_by_force(world) and others and all(status.step == "planned" for status in others):
        return
    if world.replicas == 0 or world.note != NOBODY:
        yield "workers left at 0"
    if world.lock not in {NOBODY, world.vanished}:
        yield "lock left behind"
    if any(status.ending == "In doubt" for status in world.statuses):
        return
    there = {*world.queue, *world.unacked, *_quarantined(world)}
    if any(job.status == "pending" and Message(job.task, number) not in there for number, job in enumerate(world.jobs)):
        yield "stranded job"
    for recovery, status in enumerate(world.statuses):
        if recovery == world.vanished and not status.over:
            continue
        if set(status.enqueued) != {message.job for message in world.sent if message.task == f"new{recovery}"}:
            yield "wrong books"


def _is_robbed(world: World, recovery: int) -> bool:
    is_closed = world.runs[recovery].state in {"closing", "closed"}
    return is_closed and not world.statuses[recovery].ending and recovery != world.vanished


def _took_of_a_skipped_job(run: Run) -> bool:
    """Tell whether a run has taken the message that a job waits for which it does not enqueue."""
    skipped = {Message(seen.task, number) for number, seen in enumerate(run.seen) if seen.status == "pending"}
    return not skipped.isdisjoint(run.bitten + run.taken)


def _left_by_force(world: World) -> bool:
    return world.vanished != NOBODY and world.statuses[world.vanished].touched


def _quarantined(world: World) -> tuple[Message, ...]:
    return tuple(message for run in world.runs for message in run.bitten + run.taken)
