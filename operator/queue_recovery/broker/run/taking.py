"""Taking queues' messages: `unacked` in bites, then all lists of a queue at one moment; and giving the bites back.

`unacked` comes first: the restore sweep of any worker on the database moves entries from there into the lists, one
atomic step for each (`kombu/transport/redis.py`: `QoS.restore_by_tag`). Moved before our bite, an entry is in a list
and the boundary takes it; moved after, kombu's WATCH fails and it pushes nothing.
"""

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from queue_recovery.broker.connection.batches import Bite
from queue_recovery.broker.connection.client import Client, Word
from queue_recovery.broker.connection.failures import unknown_consumer
from queue_recovery.broker.connection.values import LARGEST
from queue_recovery.broker.layout.envelope import task_id
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.layout.own_keys import (
    KEPT_FIELD,
    KEPT_ID_FIELD,
    LARGE_FIELD,
    LARGE_KEPT_FIELD,
    LEFT_FIELD,
    SEEN_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    ready_ending,
    unacked_ending,
    unacked_index_ending,
)
from queue_recovery.broker.layout.unacked import Found, bites, entries_of, refuse_shared
from queue_recovery.broker.run.record import Record, read_open_record
from queue_recovery.broker.run.script import lost_data, run_script, unreadable
from queue_recovery.broker.run.selection import Jobs, Selection, digest
from queue_recovery.broker.run.sorting import give_back_kept
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Run, Taken

_PASSES = 3
"""Scans of `unacked` until one has to find nothing; the first finds all there is unless somebody still adds."""


@dataclass
class _Seen:
    """What one scan of `unacked` has found of a queue."""

    moved: int = 0
    kept: int = 0
    kept_large: int = 0
    """Those of the kept that are too large to be read."""
    kept_ids: set[str] = field(default_factory=set)
    undecodable: int = 0
    """Of no queue, so the same for each."""
    waiting: list[Found] = field(default_factory=list)
    """What is to be moved with the next bite."""


async def take(client: Client, layout: Layout, runs: Sequence[Run], sweep: int, frozen: Collection[str]) -> Taken:
    """Move every selected message of the queues into the quarantine, and make sure that none is left in `unacked`.

    What is left of the lists is back when the sweep is complete; of `unacked` it was never moved. Besides what a
    selection leaves, that is each message of a job that is not enqueued because of its status.

    Raises:
        Rejected: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `ForeignQueue`, `SharedRoute`.
        NotYet: `UnknownConsumer`, when entries keep coming; those found by then are in the quarantine.
    """
    records = list(zip(runs, await _records(client, runs, frozen), strict=True))
    before = [(run, record) for run, record in records if record.sweep < sweep]
    incomplete = [run for run, record in records if record.complete < sweep]
    # A job may have been listed for another queue than its message is in.
    jobs = Jobs.of(job for _, record in records for job in record.jobs.values())
    if before:
        # The entries of all queues first: each boundary then finds what other workers' restore sweeps moved meanwhile.
        seen = await _empty_unacked(client, layout, [run for run, _ in before], sweep, jobs)
        for run, record in before:
            lists = layout.possible_lists(run.queue)
            takes_all = Selection(run.select, jobs).takes_all
            await pass_boundary(
                client,
                run,
                lists,
                sweep,
                seen[run.queue],
                takes_all=takes_all,
                frozen=record.seen,
                left=jobs.left,
            )
    if incomplete and _any_moved(await _move_unacked(client, layout, incomplete, sweep, jobs)):
        raise unknown_consumer()
    for run in incomplete:
        await give_back_kept(client, layout, run, jobs)
        await run_script(client, Script.COMPLETE, [client.own.run(run.uid)], [run.uid, sweep])
    after = await _records(client, runs, frozen)
    kept = {one for record in after for one in record.kept_digests}
    kept_ids = frozenset(name for name in jobs.ids if digest(name) in kept)
    return replace(reduce(operator.add, [record.taken for record in after]), left_ids=kept_ids)


async def _records(client: Client, runs: Sequence[Run], frozen: Collection[str]) -> list[Record]:
    """Return the records of the runs, which together say what each of these jobs looked like when nothing ran.

    A failover may have lost that, and not that the runs were opened: which messages are left would not be known.

    Raises:
        Rejected: `BrokerLostData`, `AlreadyClosed`.
    """
    records = [await read_open_record(client, run.uid) for run in runs]
    if set(frozen).difference(*(record.seen for record in records)):
        raise lost_data()
    return records


async def pass_boundary(
    client: Client,
    run: Run,
    lists: Mapping[int, str],
    sweep: int = 1,
    seen: _Seen | None = None,
    *,
    takes_all: bool = True,
    frozen: Collection[str] = (),
    left: Collection[str] = (),
) -> None:
    """Take these lists (by priority) in one step, and mark the run as purged, if it still knows these frozen jobs.

    The digests of task ids whose messages are left are written to the run: what ends it may not know the other runs.
    """
    seen = seen or _Seen()
    keys, fields = [client.own.run(run.uid)], []
    for priority, key in lists.items():
        ending = ready_ending(sweep, priority)
        keys += [key, client.own.quarantine(run.uid, ending)]
        fields += [TAKEN_FIELD + ending, UNSORTED_FIELD + ending]
    ending = unacked_ending(sweep)
    kept = ["" if takes_all else seen.kept, KEPT_FIELD + ending, seen.kept_large, LARGE_KEPT_FIELD + ending]
    kept_ids = [KEPT_ID_FIELD + digest(found) for found in seen.kept_ids]
    jobs = [SEEN_FIELD + key for key in frozen]
    words: list[Word] = [run.uid, sweep, seen.undecodable, *kept, int(run.take_unreadable), *fields]
    words += [len(jobs), *jobs, *kept_ids, *(LEFT_FIELD + one for one in left)]
    if (await run_script(client, Script.BOUNDARY, keys, words))[:1] == [b"FOREIGN"]:
        raise unreadable(run.queue)


async def _empty_unacked(
    client: Client, layout: Layout, runs: Sequence[Run], sweep: int, jobs: Jobs
) -> Mapping[str, _Seen]:
    """Move entries until a whole scan finds none to be moved; return what that one saw, by queue."""
    for _ in range(_PASSES):
        seen = await _move_unacked(client, layout, runs, sweep, jobs)
        if not _any_moved(seen):
            return seen
    raise unknown_consumer()


def _any_moved(seen: Mapping[str, _Seen]) -> bool:
    return any(one.moved for one in seen.values())


async def _move_unacked(
    client: Client, layout: Layout, runs: Sequence[Run], sweep: int, jobs: Jobs
) -> Mapping[str, _Seen]:
    """Scan `unacked` once, however many the queues, and move what is selected of them; return what was seen of each."""
    of_queue = {run.queue: run for run in runs}
    selections = {run.queue: Selection(run.select, jobs) for run in runs}
    seen = {run.queue: _Seen() for run in runs}
    counters = [field + unacked_ending(sweep) for field in (TAKEN_FIELD, LARGE_FIELD)]
    bite = await Bite.of(client.ping)

    async def move(queue: str) -> None:
        run = of_queue[queue]
        for tags in bites(seen[queue].waiting, bite):
            with bite.timed():
                words: list[Word] = [run.uid, sweep, *counters, LARGEST, *tags]
                await run_script(client, Script.MOVE_UNACKED, unacked_keys(client, layout, run, sweep), words)
        seen[queue].waiting.clear()

    async for found in entries_of(client, layout, of_queue):
        if found.entry is None:
            for one in seen.values():
                one.undecodable += 1
            continue
        mine = seen[found.queue]
        if not selections[found.queue].matches(found.entry.envelope):
            mine.kept += 1
            mine.kept_large += found.is_large
            mine.kept_ids |= jobs.ids & {task_id(found.entry.envelope) or ""}
            continue
        refuse_shared(found.entry, found.shared_with)
        mine.moved += 1
        mine.waiting.append(Found(found.tag, found.size, None))  # without its envelope: a bite may wait for each queue
        if len(mine.waiting) >= bite.entries:
            await move(found.queue)
    for queue in seen:
        await move(queue)
    return seen


def unacked_keys(client: Client, layout: Layout, run: Run, sweep: int) -> list[str]:
    """Return the keys of the scripts that move entries of `unacked` into the quarantine and back."""
    return [
        client.own.run(run.uid),
        layout.unacked,
        layout.unacked_index,
        client.own.quarantine(run.uid, unacked_ending(sweep)),
        client.own.quarantine(run.uid, unacked_index_ending(sweep)),
    ]
