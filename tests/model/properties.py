"""What may never be, and what must hold at the end."""

from collections.abc import Iterator
from typing import Literal

from tests.model.state import NO_RECOVERY, OLD, Message, Run, State, Status

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
    "message taken that was not selected",
    "messages brought back in part",
    "messages brought back out of order",
    "message hidden for good",
    "old message left behind",
    "stranded job",
    "wrong figures",
    "loss not reported",
    "workers left at 0",
    "autoscaler left paused",
    "autoscaler not paused during the drain",
    "lock left behind",
    "recovery without end",
    "workers restarted twice",
    "workers restarted after the end",
    "copy of what was executed did something",
]

_OPEN = frozenset({"preparing", "purged", "closing"})
_TAKEN = frozenset({"purged", "restarted", "redelivered", "reenqueued"})


def violated_already(state: State, *, alone: bool) -> Iterator[Violation]:
    """Name what is violated in a state, no matter what comes next.

    Args:
        state: the state.
        alone: no worker runs while messages are taken: only operators scale them, and none outlives its pod by more
            than the grace period. One that runs may execute what is in the quarantine by then.
    """
    waiting = state.queue + state.unacked
    quarantined = _quarantined(state)
    if len(set(state.sent)) < len(state.sent):
        yield "double push"
    if len(set(state.executed)) < len(state.executed):
        yield "double execution"
    if len({message.job for message in waiting}) < len(waiting):
        yield "two messages of one job"
    if sum(run.state in _OPEN for run in state.runs) > 1:
        yield "two recoveries at once"
    if any(_is_ended_by_another(state, recovery) for recovery in range(len(state.runs))):
        yield "recovery ended by another one"
    if alone and (state.pods or state.survivor) and not set(state.hands) <= set(state.unacked):
        yield "message taken from a worker's hands"
    if alone and len(waiting + quarantined + state.executed) > len(state.sent):
        yield "message in two places"
    if not set(state.sent) <= {*waiting, *quarantined, *state.executed}:
        yield "message lost"
    yield from _wrongly_taken(state, waiting)
    yield from _wrongly_scaled(state)
    if state.in_order:
        yield from _wrongly_brought_back(state)


def _wrongly_scaled(state: State) -> Iterator[Violation]:
    if state.autoscales and state.replicas == 0 and state.paused == NO_RECOVERY:
        yield "autoscaler not paused during the drain"
    if len(set(state.restarted)) < len(state.restarted):
        yield "workers restarted twice"
    if state.restarted_late:
        yield "workers restarted after the end"


def _wrongly_taken(state: State, waiting: tuple[Message, ...]) -> Iterator[Violation]:
    if state.is_copy and sum(bool(run.taken or run.moved or run.markers) for run in state.runs) > 1:
        yield "copy of what was executed did something"
    if any(_took_of_a_skipped_job(run) for run in state.runs):
        yield "message of a skipped job taken"
    if state.restores_from != NO_RECOVERY:
        return
    taken = [message for run in state.runs for message in run.moved + run.taken]
    if any(message.job in state.back for message in taken):
        yield "message taken that was not selected"
    old = any(message.task == OLD and message.job not in state.back for message in waiting)
    taking = [status for recovery, status in enumerate(state.statuses) if recovery not in state.takes_none]
    if old and any(status.step in _TAKEN for status in taking):
        yield "old message left behind"


def _wrongly_brought_back(state: State) -> Iterator[Violation]:
    """Name what is wrong with the order of the queue, in which no worker holds messages."""
    if list(state.queue) != sorted(state.queue, key=lambda message: message.job):
        yield "messages brought back out of order"
    hidden = [message for run in state.runs for message in run.set_aside + run.unsorted if message.job in state.back]
    if hidden and any(message.job in state.back for message in state.queue):
        yield "messages brought back in part"


def violated_at_the_end(state: State) -> Iterator[Violation]:
    """Name what is wrong when no operator has anything left to do.

    What a recovery has left that was removed by force is the next one's to put in order, if there has been one; so is a
    lock that a late process of it has taken since, before it died too.
    """
    others = [status for recovery, status in enumerate(state.statuses) if recovery != state.vanished]
    if _left_by_force(state) and others and all(_has_found_nothing(status) for status in others):
        return
    yield from _left_behind(state)
    if any(status.ending == "In doubt" for status in state.statuses):
        return
    there = {*state.queue, *state.unacked, *_quarantined(state)}
    if any(job.status == "pending" and Message(job.task, number) not in there for number, job in enumerate(state.jobs)):
        yield "stranded job"
    for recovery, status in enumerate(state.statuses):
        if recovery == state.vanished and not status.over:
            continue
        if set(status.enqueued) != _brought(state, recovery):
            yield "wrong figures"


def _has_found_nothing(status: Status) -> bool:
    return status.step == "planned" and status.ending != "Already executed"


def _left_behind(state: State) -> Iterator[Violation]:
    if state.replicas == 0 or state.note != NO_RECOVERY:
        yield "workers left at 0"
    if state.paused != NO_RECOVERY and not state.statuses[state.paused].still_paused:
        yield "autoscaler left paused"
    if state.lock not in {NO_RECOVERY, state.vanished}:
        yield "lock left behind"
    if any(run.unsorted or run.set_aside for run in state.runs):
        yield "message hidden for good"
    if _hides_a_loss(state):
        yield "loss not reported"


def _hides_a_loss(state: State) -> bool:
    """Tell whether a recovery has a final status that does not say what was written off."""
    hides = [status.over and status.ending not in {"Failed", "In doubt"} for status in state.statuses]
    return any(run.lost and hidden for run, hidden in zip(state.runs, hides, strict=True))


def _brought(state: State, recovery: int) -> set[int]:
    """Return the jobs that a recovery has enqueued, or whose messages it has put back or given back."""
    if recovery in state.redelivers:
        return {given.message.job for given in state.given if given.recovery == recovery}
    if recovery == 0 and state.restores_from != NO_RECOVERY:
        return {message.job for message in state.queue + state.unacked + state.executed if message.task == OLD}
    return {message.job for message in state.sent if message.task == f"new{recovery}"}


def _is_ended_by_another(state: State, recovery: int) -> bool:
    is_closed = state.runs[recovery].state in {"closing", "closed"}
    return is_closed and not state.statuses[recovery].ending and recovery != state.vanished


def _took_of_a_skipped_job(run: Run) -> bool:
    """Tell whether a run has taken the message that a job waits for which it does not enqueue."""
    if not run.seen:
        return False
    skipped = {Message(seen.task, number) for number, seen in enumerate(run.seen) if seen.status == "pending"}
    return not skipped.isdisjoint(run.moved + run.taken)


def _left_by_force(state: State) -> bool:
    return state.vanished != NO_RECOVERY and state.statuses[state.vanished].touched


def _quarantined(state: State) -> tuple[Message, ...]:
    return tuple(message for run in state.runs for message in run.moved + run.taken + run.unsorted + run.set_aside)
