"""Restore messages of an earlier recovery: its quarantine is sorted as a taken list is (`run/sorting.py`).

What workers held is moved to the tail of the quarantine's lists first, the newest first, so that all messages are in
the order in which they would have been consumed. Then each list is sorted into what is restored and what stays, and
what is restored becomes the queue's list in one step. Retention leaves the quarantine alone while the queue is locked
(`docs/decisions/0009-restored-messages-come-back-in-one-step.md`).
"""

from collections.abc import Mapping

from queue_recovery.broker.connection.batches import MOST_ENTRIES
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.connection.values import Value, size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import after_envelope, priority, read_entry
from queue_recovery.broker.layout.own_keys import (
    TAKEN_FIELD,
    UNSORTED_FIELD,
    attempt_and_priority,
    attempt_of,
    ready_ending,
    unacked_ending,
    unacked_index_ending,
)
from queue_recovery.broker.layout.unacked import Found, batches
from queue_recovery.broker.quarantine.choice import Choice, Fate
from queue_recovery.broker.quarantine.new_message import as_new
from queue_recovery.broker.run.record import read_open_record, read_record
from queue_recovery.broker.run.script import lost_data, run_script
from queue_recovery.broker.run.sorting import Judge, Verdict, return_restored
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Restore, Restored, Run


async def restore(db: Database, run: Run) -> Restored:
    """Restore the chosen messages; continues where an earlier call stopped."""
    record = await read_open_record(db, run.uid)
    if run.restore is None or record.earlier is None:
        raise lost_data()
    earlier = await read_record(db, record.earlier)
    if earlier is None:
        raise lost_data()
    choice = Choice(run.restore, earlier)
    if record.fields["state"] == "preparing":
        for ending in earlier.quarantined_hashes:
            await _put_back_unacked(db, run, attempt_of(ending), choice)
        await _stage(db, run, earlier.uid)
    await return_restored(db, run, _judge(run, run.restore, choice))
    return (await read_open_record(db, run.uid)).restored


def _judge(run: Run, restore: Restore, choice: Choice) -> Judge:
    def judge(message: Value, place: str) -> Verdict:
        if choice.fate(message) is not Fate.RESTORED:
            return Verdict(stays=True)
        if not restore.as_new:
            return Verdict(stays=False)
        instead = as_new(message, run.uid, place) if isinstance(message, bytes) else None
        return Verdict(stays=instead is None, instead=instead)

    return judge


async def _put_back_unacked(db: Database, run: Run, attempt: int, choice: Choice) -> None:
    """Move what workers held to the tail of the quarantine's lists, the newest first.

    What stays in the quarantine is passed over by its rank; when another process has moved some too, the ranks are
    counted again. Entries without a time of delivery come last: their age is not known.
    """
    earlier = choice.earlier
    entries, times = earlier.key(unacked_ending(attempt)), earlier.key(unacked_index_ending(attempt))

    async def move(found: Mapping[bytes, Value]) -> int:
        """Move the chosen ones of some entries; return their number."""
        chosen = {tag: entry for tag, entry in found.items() if choice.fate_of_entry(entry) is Fate.RESTORED}
        for tags in batches([Found(tag, size_of(entry), None) for tag, entry in chosen.items()]):
            priorities = {tag: db.layout.step(_priority(chosen[tag])) for tag in tags}
            endings = [ready_ending(attempt, of) for of in sorted(set(priorities.values()))]
            keys = [db.own.run(run.uid), db.own.run(earlier.uid), entries, times, *map(earlier.key, endings)]
            words: list[Word] = [run.uid, len(endings), *(TAKEN_FIELD + ending for ending in endings)]
            for tag in tags:
                after = after_envelope(chosen[tag]) or 0
                words += [tag, endings.index(ready_ending(attempt, priorities[tag])) + 1, after]
            await run_script(db, Script.PUT_BACK_UNACKED, keys, words)
        return len(chosen)

    (count,) = await db.client.lengths([], [entries])
    first = 0
    while tags := await db.client.by_rank(times, first, first + MOST_ENTRIES - 1):
        values = await db.client.values(entries, tags)  # as many as fit into one reply
        tags = tags[: len(values)]
        moved = await move({tag: entry for tag, entry in zip(tags, values, strict=True) if entry is not None})
        (left,) = await db.client.lengths([], [entries])
        first = first + len(tags) - moved if left == count - moved else 0
        count = left
    async for portion in db.client.scan_hash(entries):
        await move({tag: entry for tag, entry in portion if tag is not None})


def _priority(entry: Value) -> int:
    """Return the priority of the message of an entry of `unacked`."""
    held = read_entry(entry)
    return priority(held.envelope if held else None)


async def _stage(db: Database, run: Run, uid: str) -> None:
    """Record how much is to be sorted. Each priority has a list of the first attempt, even if it is empty."""
    earlier = await read_record(db, uid)
    if earlier is None:
        raise lost_data()
    hashes, lists = earlier.quarantined_hashes, earlier.quarantined_lists
    lists = sorted({*lists, *(ready_ending(1, attempt_and_priority(ending)[1]) for ending in lists)})
    keys = [db.own.run(run.uid), db.own.run(uid), *map(earlier.key, [*lists, *hashes])]
    fields = [field + ending for ending in lists for field in (UNSORTED_FIELD, TAKEN_FIELD)]
    words: list[Word] = [run.uid, len(lists), *fields, *(TAKEN_FIELD + ending for ending in hashes)]
    await run_script(db, Script.STAGE, keys, words)
