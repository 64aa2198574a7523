"""Sort a taken list into what stays in the quarantine and what goes back, and return that to the queue in one step.

A list is sorted in batches: what stays is rotated to the other end of the same list, what goes back is moved to a list
beside it. Only when all is sorted does that list become the queue's, in one step: until then no worker can consume from
it, so that its order holds even while workers run (`docs/decisions/0006-kept-messages-come-back-in-one-step.md`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from queue_recovery.broker.connection.batches import BatchBudget, PageSize
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.connection.values import Large, Value, size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import read_message, task_id
from queue_recovery.broker.layout.own_keys import (
    LARGE_LEFT_FIELD,
    LEFT_FIELD,
    LEFT_ID_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    attempt_and_priority,
    left_ending,
    ready_ending,
)
from queue_recovery.broker.run.record import read_record
from queue_recovery.broker.run.script import forged, lost_data, run_script
from queue_recovery.broker.run.selection import Jobs, Selection, digest
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Run


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What happens to one message of a list that is sorted."""

    stays: bool
    """Whether it stays in the quarantine; otherwise it goes back."""
    unread: bool = False
    """Whether it goes back because it is too large to be read."""
    instead: bytes | None = None
    """The message that goes back in its place."""
    left_id: str | None = None
    """Its task id, to be recorded: it goes back, and is the message of a listed job."""


Judge = Callable[[Value, str], Verdict]
"""Judges a message. The text is its place among all that are sorted, and is the same when it is judged again."""


async def return_left(db: Database, run: Run, jobs: Jobs | None = None) -> None:
    """Sort what the last boundary took, and return what is to be left to the tail of its list.

    Continues where an earlier call stopped, and records which of the jobs' task ids were left. Without `jobs`, they are
    those of this run, and those that its boundary recorded of jobs of other queues.
    """
    record = await read_record(db, run.uid)
    if record is None:
        raise lost_data()
    jobs = jobs or Jobs.of(record.jobs.values(), record.leave_digests)
    unsorted = record.unsorted
    for priority, key in db.layout.possible_lists(run.queue).items():
        ending = ready_ending(record.attempt, priority)
        if ending in unsorted:
            going = db.own.quarantine(run.uid, left_ending(record.attempt, priority))
            judge = _selects(run, jobs)
            await _sort(db, run, ending, db.own.quarantine(run.uid, ending), going=going, judge=judge)
            await _rejoin(db, run, ending, going, key)


async def return_restored(db: Database, run: Run, judge: Judge) -> None:
    """Sort what is not sorted yet of an earlier run's quarantine, and return what is restored, list by list.

    The lists of the last purge attempt come first: they have the newest messages.
    """
    record = await read_record(db, run.uid)
    if record is None or record.earlier is None:
        raise lost_data()
    for ending in sorted(record.unsorted, key=attempt_and_priority, reverse=True):
        attempt, priority = attempt_and_priority(ending)
        going = db.own.quarantine(run.uid, left_ending(1, priority))
        await _sort(db, run, ending, db.own.quarantine(record.earlier, ending), going=going, judge=judge)
        # The list is complete only with the first attempt's messages; the other attempts' keys do not exist.
        going = db.own.quarantine(run.uid, left_ending(attempt, priority))
        await _rejoin(db, run, ending, going, db.layout.list_of(run.queue, priority))


def stays(message: Value, place: str) -> Verdict:
    """Judge that a message stays in the quarantine: a restore that ends early restores no more."""
    del message, place
    return Verdict(stays=True)


def _selects(run: Run, jobs: Jobs) -> Judge:
    selection = Selection(run.select, jobs)

    def judge(message: Value, _: str) -> Verdict:
        envelope = read_message(message)
        if selection.matches(envelope):
            return Verdict(stays=True)
        name = task_id(envelope)
        return Verdict(stays=False, unread=isinstance(message, Large), left_id=name if name in jobs.ids else None)

    return judge


async def _sort(db: Database, run: Run, ending: str, quarantined: str, *, going: str, judge: Judge) -> None:
    """Sort one list. Each batch states how many messages are unsorted, and does nothing if that is not so any more."""
    keys = [db.own.run(run.uid), quarantined, going]
    fields = [field + ending for field in (UNSORTED_FIELD, TAKEN_FIELD, LEFT_FIELD, LARGE_LEFT_FIELD)]
    unsorted = await _unsorted(db, run, ending)
    page, budget = PageSize(), await BatchBudget.measured(db.client.ping)
    while unsorted:
        messages = await db.client.lrange(quarantined, 0, min(unsorted, page.entries, budget.entries) - 1)
        if not messages:
            before, unsorted = unsorted, await _unsorted(db, run, ending)
            if unsorted == before:
                raise lost_data()
            continue  # another process has sorted the rest of the list meanwhile
        sizes = list(map(size_of, messages))
        page.note(sizes)
        batch = messages[: budget.fitting(sizes)]
        verdicts = [judge(message, f"{ending}:{unsorted - place}") for place, message in enumerate(batch)]
        letters = "".join(map(_letter, verdicts))
        instead = [v.instead for v in verdicts if v.instead is not None]
        found = [
            LEFT_ID_FIELD + digest(name) for name in sorted({v.left_id for v in verdicts if v.left_id is not None})
        ]
        arguments: list[Word] = [run.uid, *fields, unsorted, letters, len(instead), *instead, *found]
        with budget.timed():
            _, rest = await run_script(db, Script.SORT, keys, arguments)
        unsorted = _number(db, run, rest)


def _letter(verdict: Verdict) -> str:
    """Return a verdict as `sort.lua` takes it."""
    if verdict.stays:
        return "1"
    if verdict.instead is not None:
        return "2"
    return "3" if verdict.unread else "0"


async def _rejoin(db: Database, run: Run, ending: str, going: str, key: str) -> None:
    """Make what goes back the queue's list again, followed by what producers have pushed meanwhile."""
    keys = [db.own.run(run.uid), going, key]
    budget = await BatchBudget.measured(db.client.ping)
    while await _unsorted(db, run, ending) is not None:
        arguments: list[Word] = [run.uid, UNSORTED_FIELD + ending, budget.entries, budget.size]
        with budget.timed():
            await run_script(db, Script.REJOIN, keys, arguments)


async def _unsorted(db: Database, run: Run, ending: str) -> int | None:
    (left,) = await db.client.hmget(db.own.run(run.uid), UNSORTED_FIELD + ending)
    return None if left is None else _number(db, run, left)


def _number(db: Database, run: Run, value: bytes) -> int:
    if not value.isdigit():
        raise forged(db.own.run(run.uid))
    return int(value)
