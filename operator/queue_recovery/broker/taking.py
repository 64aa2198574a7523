"""Taking a queue's messages: `unacked` in bites, then all lists at one moment; and giving the bites back.

`unacked` comes first: the restore sweep of any worker on the database moves entries from there into the lists, one
atomic step for each (`kombu/transport/redis.py`: `QoS.restore_by_tag`). Moved before our bite, an entry is in a list
and the boundary takes it; moved after, kombu's WATCH fails and it pushes nothing.
"""

from collections.abc import Mapping

from queue_recovery.broker.client import Client
from queue_recovery.broker.failures import unknown_consumer
from queue_recovery.broker.keys import (
    TAKEN_FIELD,
    Layout,
    quarantine_key,
    ready_ending,
    run_key,
    unacked_ending,
    unacked_index_ending,
)
from queue_recovery.broker.run import read_open_record
from queue_recovery.broker.scripts import Script, run_script
from queue_recovery.broker.unacked import BITE, Found, bites, entries_of, refuse_shared
from queue_recovery.recovery.ports import Run, Taken

_PASSES = 3
"""Scans of `unacked` until one has to find nothing; the first finds all there is unless somebody still adds."""


async def take(client: Client, layout: Layout, run: Run, sweep: int) -> Taken:
    """Move every message of the queue into the quarantine, and make sure that none is left in `unacked`.

    Raises:
        Rejected: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `SharedRoute`.
        NotYet: `UnknownConsumer`, when entries keep coming; those found by then are in the quarantine.
    """
    record = await read_open_record(client, run.uid)
    if record.complete >= sweep:
        return record.taken
    if record.sweep < sweep:
        undecodable = await _empty_unacked(client, layout, run, sweep)
        await pass_boundary(client, run, layout.possible_lists(run.queue), sweep=sweep, undecodable=undecodable)
    moved, _ = await _move_unacked(client, layout, run, sweep)
    if moved:
        raise unknown_consumer()
    await run_script(client, Script.COMPLETE, [run_key(run.uid)], [run.uid, sweep])
    return (await read_open_record(client, run.uid)).taken


async def pass_boundary(
    client: Client, run: Run, lists: Mapping[int, str], *, sweep: int = 1, undecodable: int = 0
) -> None:
    """Take these lists (by priority) in one step, and mark the run as purged."""
    keys, fields = [run_key(run.uid)], []
    for priority, key in lists.items():
        ending = ready_ending(sweep, priority)
        keys += [key, quarantine_key(run.uid, ending)]
        fields.append(TAKEN_FIELD + ending)
    await run_script(client, Script.BOUNDARY, keys, [run.uid, sweep, undecodable, *fields])


async def give_back(client: Client, layout: Layout, run: Run) -> None:
    """Put the `unacked` entries of a run that is closing back where they were.

    An entry whose delivery tag has come into use again stays in the quarantine.
    """
    keys = _keys(layout, run, 1)
    async for portion in client.scan_hash(quarantine_key(run.uid, unacked_ending(1))):
        for tags in bites(Found(tag, len(value), None) for tag, value in portion):
            await run_script(client, Script.GIVE_BACK, keys, [run.uid, *tags])


async def _empty_unacked(client: Client, layout: Layout, run: Run, sweep: int) -> int:
    """Move entries until a whole scan finds none; return how many cannot be read."""
    for _ in range(_PASSES):
        moved, undecodable = await _move_unacked(client, layout, run, sweep)
        if not moved:
            return undecodable
    raise unknown_consumer()


async def _move_unacked(client: Client, layout: Layout, run: Run, sweep: int) -> tuple[int, int]:
    """Scan `unacked` once and move what belongs to the queue; return the numbers of moved and unreadable ones."""
    keys = _keys(layout, run, sweep)
    counter = TAKEN_FIELD + unacked_ending(sweep)
    moved = undecodable = 0
    waiting: list[Found] = []

    async def move() -> None:
        for tags in bites(waiting):
            await run_script(client, Script.BITE, keys, [run.uid, sweep, counter, *tags])
        waiting.clear()

    async for found in entries_of(client, layout, run.queue):
        if found.entry is None:
            undecodable += 1
            continue
        refuse_shared(found.entry, found.shared_with)
        moved += 1
        waiting.append(found)
        if len(waiting) == BITE:
            await move()
    await move()
    return moved, undecodable


def _keys(layout: Layout, run: Run, sweep: int) -> list[str]:
    return [
        run_key(run.uid),
        layout.unacked,
        layout.unacked_index,
        quarantine_key(run.uid, unacked_ending(sweep)),
        quarantine_key(run.uid, unacked_index_ending(sweep)),
    ]
