"""Giving back what a selection keeps of the lists that the boundary took.

A taken list is sorted in bites: what stays in the quarantine goes round to the other end of its own list, what is kept
to a list beside it. Only then does the kept list become the queue's, in one step: until then nobody can consume of it,
so that its order holds even when workers live, as they do after an ending
(`docs/decisions/0006-kept-messages-come-back-in-one-step.md`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from queue_recovery.broker.connection.batches import Bite, Portion
from queue_recovery.broker.connection.client import Client, Word
from queue_recovery.broker.connection.values import Large, Value, size_of
from queue_recovery.broker.layout.envelope import read_message, task_id
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.layout.own_keys import (
    KEPT_FIELD,
    KEPT_ID_FIELD,
    LARGE_KEPT_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    kept_ending,
    place_of,
    ready_ending,
)
from queue_recovery.broker.run.record import read_record
from queue_recovery.broker.run.script import forged, lost_data, run_script
from queue_recovery.broker.run.selection import Jobs, Selection, digest
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Run


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What becomes of one message of a list that is sorted."""

    stays: bool
    """Whether it stays in the quarantine."""
    unread: bool = False
    """Whether it is kept because it is too large to be read."""
    instead: bytes | None = None
    """What is kept in its place."""
    kept_id: str | None = None
    """Its task id, to be remembered: that of a listed job whose message is kept."""


Judge = Callable[[Value, str], Verdict]
"""Judges a message; the text names its place among all that are sorted, and is the same when it is judged again."""


async def give_back_kept(client: Client, layout: Layout, run: Run, jobs: Jobs | None = None) -> None:
    """Sort what the last boundary took, and bring what is kept back to the tail of its list.

    Goes on where an earlier call stopped. Which of the jobs' task ids are kept is written beside it. Without `jobs`,
    they are those of this run alone; what is left for jobs of other queues, the boundary has written down.
    """
    record = await read_record(client, run.uid)
    if record is None:
        raise lost_data()
    jobs = jobs or Jobs.of(record.jobs.values(), record.left)
    unsorted = record.unsorted
    for priority, key in layout.possible_lists(run.queue).items():
        ending = ready_ending(record.sweep, priority)
        if ending in unsorted:
            kept = client.own.quarantine(run.uid, kept_ending(record.sweep, priority))
            judge = _selects(run, jobs)
            await sort(client, run, ending, client.own.quarantine(run.uid, ending), kept=kept, judge=judge)
            await rejoin(client, run, ending, kept, key)


def _selects(run: Run, jobs: Jobs) -> Judge:
    selection = Selection(run.select, jobs)

    def judge(message: Value, _: str) -> Verdict:
        envelope = read_message(message)
        if selection.matches(envelope):
            return Verdict(stays=True)
        name = task_id(envelope)
        return Verdict(stays=False, unread=isinstance(message, Large), kept_id=name if name in jobs.ids else None)

    return judge


async def sort(client: Client, run: Run, ending: str, quarantined: str, *, kept: str, judge: Judge) -> None:
    """Sort one list. Each bite says which message it begins with, and another process's bite makes it do nothing."""
    keys = [client.own.run(run.uid), quarantined, kept]
    fields = [field + ending for field in (UNSORTED_FIELD, TAKEN_FIELD, KEPT_FIELD, LARGE_KEPT_FIELD)]
    left = await _unsorted(client, run, ending)
    portion, bite = Portion(), await Bite.of(client.ping)
    while left:
        messages = await client.lrange(quarantined, 0, min(left, portion.entries, bite.entries) - 1)
        if not messages:
            known, left = left, await _unsorted(client, run, ending)
            if left == known:
                raise lost_data()
            continue  # another process has sorted the list to its end meanwhile
        sizes = list(map(size_of, messages))
        portion.note(sizes)
        mouthful = messages[: bite.holds(sizes)]
        verdicts = [judge(message, f"{ending}:{left - place}") for place, message in enumerate(mouthful)]
        stays = "".join(map(_letter, verdicts))
        instead = [v.instead for v in verdicts if v.instead is not None]
        found = [
            KEPT_ID_FIELD + digest(name) for name in sorted({v.kept_id for v in verdicts if v.kept_id is not None})
        ]
        arguments: list[Word] = [run.uid, *fields, left, stays, len(instead), *instead, *found]
        with bite.timed():
            _, rest = await run_script(client, Script.SORT, keys, arguments)
        left = _number(client, run, rest)


def _letter(verdict: Verdict) -> str:
    """Return a verdict as `sort.lua` takes it."""
    if verdict.stays:
        return "1"
    if verdict.instead is not None:
        return "2"
    return "3" if verdict.unread else "0"


async def rejoin(client: Client, run: Run, ending: str, kept: str, key: str) -> None:
    """Make what is kept the queue's list again, with what producers have pushed meanwhile behind it."""
    keys = [client.own.run(run.uid), kept, key]
    bite = await Bite.of(client.ping)
    while await _unsorted(client, run, ending) is not None:
        with bite.timed():
            await run_script(client, Script.REJOIN, keys, [run.uid, UNSORTED_FIELD + ending, bite.entries, bite.size])


async def bring_back(client: Client, layout: Layout, run: Run, judge: Judge) -> None:
    """Sort what is not sorted yet, and make what goes back visible, each priority in one step.

    The lists of the last sweep come first: they hold the newest messages.
    """
    record = await read_record(client, run.uid)
    if record is None or record.earlier is None:
        raise lost_data()
    for ending in sorted(record.unsorted, key=place_of, reverse=True):
        sweep, of = place_of(ending)
        kept = client.own.quarantine(run.uid, kept_ending(1, of))
        await sort(client, run, ending, client.own.quarantine(record.earlier, ending), kept=kept, judge=judge)
        # Only with the first sweep's list is what goes back complete; nothing is at the others' keys.
        kept = client.own.quarantine(run.uid, kept_ending(sweep, of))
        await rejoin(client, run, ending, kept, layout.list_of(run.queue, of))


def stays(message: Value, place: str) -> Verdict:
    """Judge that a message stays in the quarantine: a restore that ends half-way brings nothing more."""
    del message, place
    return Verdict(stays=True)


async def _unsorted(client: Client, run: Run, ending: str) -> int | None:
    (left,) = await client.hmget(client.own.run(run.uid), UNSORTED_FIELD + ending)
    return None if left is None else _number(client, run, left)


def _number(client: Client, run: Run, value: bytes) -> int:
    if not value.isdigit():
        raise forged(client.own.run(run.uid))
    return int(value)
