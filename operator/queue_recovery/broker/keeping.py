"""Giving back what a selection keeps of the lists that the boundary took.

A taken list is sorted in bites: what stays in the quarantine goes round to the other end of its own list, what is kept
to a list beside it. Only then does the kept list become the queue's, in one step: until then nobody can consume of it,
so that its order holds even when workers live, as they do after an ending
(`docs/decisions/0006-kept-messages-come-back-in-one-step.md`).
"""

from collections.abc import Collection

from queue_recovery.broker.bites import Bite, Portion
from queue_recovery.broker.client import Client
from queue_recovery.broker.envelope import read_json, task_id
from queue_recovery.broker.keys import (
    KEPT_FIELD,
    KEPT_ID_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    Layout,
    kept_ending,
    quarantine_key,
    ready_ending,
    run_key,
)
from queue_recovery.broker.run import read_record
from queue_recovery.broker.scripts import Script, lost_data, run_script
from queue_recovery.broker.selection import Selection
from queue_recovery.recovery.ports import Run


async def give_back_kept(client: Client, layout: Layout, run: Run, among: Collection[str] = ()) -> None:
    """Sort what the last boundary took, and bring what is kept back to the consumers' end of its list.

    Goes on where an earlier call stopped. Which of the task ids `among` are kept is written beside it.
    """
    record = await read_record(client, run.uid)
    if record is None:
        raise lost_data()
    unsorted = record.unsorted
    for priority, key in layout.possible_lists(run.queue).items():
        ending = ready_ending(record.sweep, priority)
        if ending in unsorted:
            kept = quarantine_key(run.uid, kept_ending(record.sweep, priority))
            await _sort(client, run, ending, kept, frozenset(among))
            await _rejoin(client, run, ending, kept, key)


async def _sort(client: Client, run: Run, ending: str, kept: str, among: frozenset[str]) -> None:
    """Sort one list. Each bite says which message it begins with, and another process's bite makes it do nothing."""
    selection = Selection(run.select)
    quarantined = quarantine_key(run.uid, ending)
    keys = [run_key(run.uid), quarantined, kept]
    fields = [UNSORTED_FIELD + ending, TAKEN_FIELD + ending, KEPT_FIELD + ending]
    left = await _unsorted(client, run, ending)
    portion, bite = Portion(), await Bite.of(client.ping)
    while left:
        messages = await client.lrange(quarantined, 0, min(left, portion.entries, bite.entries) - 1)
        if not messages:
            raise lost_data()
        portion.note(messages)
        stays = ""
        kept_ids: set[str] = set()
        for envelope in map(read_json, messages[: bite.holds(map(len, messages))]):
            matches = selection.matches(envelope)
            stays += "1" if matches else "0"
            if not matches:
                kept_ids |= among & {task_id(envelope) or ""}
        found = [KEPT_ID_FIELD + name for name in sorted(kept_ids)]
        with bite.timed():
            _, rest = await run_script(client, Script.SORT, keys, [run.uid, *fields, left, stays, *found])
        left = int(rest)


async def _rejoin(client: Client, run: Run, ending: str, kept: str, key: str) -> None:
    """Make what is kept the queue's list again, with what producers have pushed meanwhile behind it."""
    keys = [run_key(run.uid), kept, key]
    bite = await Bite.of(client.ping)
    while await _unsorted(client, run, ending) is not None:
        with bite.timed():
            await run_script(client, Script.REJOIN, keys, [run.uid, UNSORTED_FIELD + ending, bite.entries, bite.size])


async def _unsorted(client: Client, run: Run, ending: str) -> int | None:
    (left,) = await client.hmget(run_key(run.uid), UNSORTED_FIELD + ending)
    return None if left is None else int(left)
