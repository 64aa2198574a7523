"""Taking a queue's messages: `unacked` in bites, then all lists at one moment; and giving the bites back.

`unacked` comes first: the restore sweep of any worker on the database moves entries from there into the lists, one
atomic step for each (`kombu/transport/redis.py`: `QoS.restore_by_tag`). Moved before our bite, an entry is in a list
and the boundary takes it; moved after, kombu's WATCH fails and it pushes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from queue_recovery.broker.client import Client
from queue_recovery.broker.envelope import task_id
from queue_recovery.broker.failures import unknown_consumer
from queue_recovery.broker.keeping import give_back_kept
from queue_recovery.broker.keys import (
    KEPT_FIELD,
    KEPT_ID_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    Layout,
    quarantine_key,
    ready_ending,
    run_key,
    unacked_ending,
    unacked_index_ending,
)
from queue_recovery.broker.run import read_open_record
from queue_recovery.broker.scripts import Script, run_script
from queue_recovery.broker.selection import Selection
from queue_recovery.broker.unacked import BITE, Found, bites, entries_of, refuse_shared
from queue_recovery.recovery.ports import Run, Taken

_PASSES = 3
"""Scans of `unacked` until one has to find nothing; the first finds all there is unless somebody still adds."""


@dataclass
class _Seen:
    """What one scan of `unacked` has found of the queue."""

    moved: int = 0
    kept: int = 0
    kept_ids: set[str] = field(default_factory=set)
    undecodable: int = 0


async def take(client: Client, layout: Layout, run: Run, sweep: int, among: Collection[str]) -> Taken:
    """Move every selected message of the queue into the quarantine, and make sure that none is left in `unacked`.

    What a selection keeps of the lists is back when the sweep is complete; of `unacked` it was never moved.

    Raises:
        Rejected: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `SharedRoute`.
        NotYet: `UnknownConsumer`, when entries keep coming; those found by then are in the quarantine.
    """
    record = await read_open_record(client, run.uid)
    if record.complete >= sweep:
        return record.taken
    if record.sweep < sweep:
        seen = await _empty_unacked(client, layout, run, sweep, among)
        await pass_boundary(client, run, layout.possible_lists(run.queue), sweep, seen)
    if (await _move_unacked(client, layout, run, sweep)).moved:
        raise unknown_consumer()
    await give_back_kept(client, layout, run, among)
    await run_script(client, Script.COMPLETE, [run_key(run.uid)], [run.uid, sweep])
    return (await read_open_record(client, run.uid)).taken


async def pass_boundary(
    client: Client, run: Run, lists: Mapping[int, str], sweep: int = 1, seen: _Seen | None = None
) -> None:
    """Take these lists (by priority) in one step, and mark the run as purged."""
    seen = seen or _Seen()
    keys, fields = [run_key(run.uid)], []
    for priority, key in lists.items():
        ending = ready_ending(sweep, priority)
        keys += [key, quarantine_key(run.uid, ending)]
        fields += [TAKEN_FIELD + ending, UNSORTED_FIELD + ending]
    kept = [seen.kept if run.select else "", KEPT_FIELD + unacked_ending(sweep)]
    kept_ids = [KEPT_ID_FIELD + found for found in seen.kept_ids]
    await run_script(client, Script.BOUNDARY, keys, [run.uid, sweep, seen.undecodable, *kept, *fields, *kept_ids])


async def give_back(client: Client, layout: Layout, run: Run) -> None:
    """Put the `unacked` entries of a run that is closing back where they were.

    An entry whose delivery tag has come into use again stays in the quarantine.
    """
    keys = _keys(layout, run, 1)
    async for portion in client.scan_hash(quarantine_key(run.uid, unacked_ending(1))):
        for tags in bites(Found(tag, len(value), None) for tag, value in portion):
            await run_script(client, Script.GIVE_BACK, keys, [run.uid, *tags])


async def _empty_unacked(client: Client, layout: Layout, run: Run, sweep: int, among: Collection[str]) -> _Seen:
    """Move entries until a whole scan finds none to be moved; return what that one saw."""
    for _ in range(_PASSES):
        seen = await _move_unacked(client, layout, run, sweep, frozenset(among))
        if not seen.moved:
            return seen
    raise unknown_consumer()


async def _move_unacked(
    client: Client, layout: Layout, run: Run, sweep: int, among: frozenset[str] = frozenset()
) -> _Seen:
    """Scan `unacked` once and move what is selected of the queue."""
    keys = _keys(layout, run, sweep)
    counter = TAKEN_FIELD + unacked_ending(sweep)
    selection = Selection(run.select)
    seen = _Seen()
    waiting: list[Found] = []

    async def move() -> None:
        for tags in bites(waiting):
            await run_script(client, Script.BITE, keys, [run.uid, sweep, counter, *tags])
        waiting.clear()

    async for found in entries_of(client, layout, run.queue):
        if found.entry is None:
            seen.undecodable += 1
            continue
        if not selection.matches(found.entry.envelope):
            seen.kept += 1
            seen.kept_ids |= among & {task_id(found.entry.envelope) or ""}
            continue
        refuse_shared(found.entry, found.shared_with)
        seen.moved += 1
        waiting.append(found)
        if len(waiting) == BITE:
            await move()
    await move()
    return seen


def _keys(layout: Layout, run: Run, sweep: int) -> list[str]:
    return [
        run_key(run.uid),
        layout.unacked,
        layout.unacked_index,
        quarantine_key(run.uid, unacked_ending(sweep)),
        quarantine_key(run.uid, unacked_index_ending(sweep)),
    ]
