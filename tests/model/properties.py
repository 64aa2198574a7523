"""What may never be, and what has to be at the end."""

from collections.abc import Iterator
from typing import Literal

from tests.model.state import NOBODY, OLD, Message, Run, State

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


def harm(state: State, *, alone: bool) -> Iterator[Violation]:
    """Name the harm that has been done already.

    Args:
        state: how things stand.
        alone: nobody but operators scales the workers. Otherwise one may run while messages are taken, and execute
            what is in the quarantine by then; no more is promised than that the next sweep leaves nothing behind.
    """
    waiting = state.queue + state.unacked
    kept = _quarantined(state)
    if len(set(state.sent)) < len(state.sent):
        yield "double push"
    if len(set(state.executed)) < len(state.executed):
        yield "double execution"
    if len({message.job for message in waiting}) < len(waiting):
        yield "two messages of one job"
    if sum(run.state in _OPEN for run in state.runs) > 1:
        yield "two recoveries at once"
    if any(_is_robbed(state, recovery) for recovery in range(len(state.runs))):
        yield "recovery ended by another one"
    if alone and state.pods and not set(state.hands) <= set(state.unacked):
        yield "message taken from a worker's hands"
    if alone and len(waiting + kept + state.executed) > len(state.sent):
        yield "message in two places"
    if not set(state.sent) <= {*waiting, *kept, *state.executed}:
        yield "message lost"
    yield from _wrongly_taken(state, waiting)


def _wrongly_taken(state: State, waiting: tuple[Message, ...]) -> Iterator[Violation]:
    if any(_took_of_a_skipped_job(run) for run in state.runs):
        yield "message of a skipped job taken"
    if any(message.task == OLD for message in waiting) and any(status.step in _TAKEN for status in state.statuses):
        yield "old message left behind"


def fault(state: State) -> Iterator[Violation]:
    """Name what is wrong when no operator has anything left to do.

    What a recovery has left that was removed by force is the next one's to put in order, if there has been one; so is a
    lock that a late process of it has taken since, before it died too.
    """
    others = [status for recovery, status in enumerate(state.statuses) if recovery != state.vanished]
    if _left_by_force(state) and others and all(status.step == "planned" for status in others):
        return
    if state.replicas == 0 or state.note != NOBODY:
        yield "workers left at 0"
    if state.lock not in {NOBODY, state.vanished}:
        yield "lock left behind"
    if any(status.ending == "In doubt" for status in state.statuses):
        return
    there = {*state.queue, *state.unacked, *_quarantined(state)}
    if any(job.status == "pending" and Message(job.task, number) not in there for number, job in enumerate(state.jobs)):
        yield "stranded job"
    for recovery, status in enumerate(state.statuses):
        if recovery == state.vanished and not status.over:
            continue
        if set(status.enqueued) != {message.job for message in state.sent if message.task == f"new{recovery}"}:
            yield "wrong books"


def _is_robbed(state: State, recovery: int) -> bool:
    is_closed = state.runs[recovery].state in {"closing", "closed"}
    return is_closed and not state.statuses[recovery].ending and recovery != state.vanished


def _took_of_a_skipped_job(run: Run) -> bool:
    """Tell whether a run has taken the message that a job waits for which it does not enqueue."""
    skipped = {Message(seen.task, number) for number, seen in enumerate(run.seen) if seen.status == "pending"}
    return not skipped.isdisjoint(run.bitten + run.taken)


def _left_by_force(state: State) -> bool:
    return state.vanished != NOBODY and state.statuses[state.vanished].touched


def _quarantined(state: State) -> tuple[Message, ...]:
    return tuple(message for run in state.runs for message in run.bitten + run.taken)
