"""Take queues' messages: `unacked` in batches, then all lists of a queue in one step, its boundary.

`unacked` comes first: the restore sweep of any worker on the database moves entries from there into the lists, each in
one atomic step (`kombu/transport/redis.py`: `QoS.restore_by_tag`). If it moves an entry before our batch, the entry is
in a list and the boundary takes it; if after, kombu's WATCH fails and it pushes nothing.
"""

import operator
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from queue_recovery.broker.connection.batches import MOST_ENTRIES
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.connection.failures import unknown_consumer
from queue_recovery.broker.connection.values import LARGEST
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.headers import task_id
from queue_recovery.broker.layout.own_keys import (
    LARGE_FIELD,
    LARGE_LEFT_FIELD,
    LEAVE_ID_FIELD,
    LEFT_FIELD,
    LEFT_ID_FIELD,
    SEEN_FIELD,
    TAKEN_FIELD,
    UNSORTED_FIELD,
    ready_ending,
    unacked_ending,
    unacked_index_ending,
)
from queue_recovery.broker.layout.unacked import Found, batches, entries_of, refuse_shared
from queue_recovery.broker.run.record import Record, read_open_record
from queue_recovery.broker.run.script import lost_data, run_script, unreadable
from queue_recovery.broker.run.selection import Jobs, Selection, digest
from queue_recovery.broker.run.sorting import return_left
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Run, Taken

_MOST_SCANS = 3
"""Scans of `unacked` until one has to find nothing; the first finds all there is unless a consumer still adds some."""


@dataclass
class _Scan:
    """What one scan of `unacked` has found of a queue."""

    moved: int = 0
    left: int = 0
    large_left: int = 0
    """Those left because they are too large to be read."""
    left_ids: set[str] = field(default_factory=set)
    undecodable: int = 0
    """Entries of an unknown queue, so the same for each queue."""
    waiting: list[Found] = field(default_factory=list)
    """Entries to be moved with the next batch."""


async def take(db: Database, runs: Sequence[Run], attempt: int, frozen: Collection[str]) -> Taken:
    """Move every selected message of the queues into the quarantine, and check that none remains in `unacked`.

    Messages that are left are back in the lists when the attempt is complete, and were never moved out of `unacked`.
    These are those that a selection does not match, and those of jobs that are not enqueued because of their status.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `ForeignQueue`, `SharedRoute`.
        RecoveryError: `UnknownConsumer`, if entries keep coming; those found by then are in the quarantine.
    """
    records = list(zip(runs, await _records(db, runs, frozen), strict=True))
    before = [(run, record) for run, record in records if record.attempt < attempt]
    incomplete = [run for run, record in records if record.complete < attempt]
    # A job may have been listed for another queue than its message is in.
    jobs = Jobs.of(job for _, record in records for job in record.jobs.values())
    if before:
        # The entries of all queues first: each boundary then takes what other workers' restore sweeps moved meanwhile.
        scans = await _empty_unacked(db, [run for run, _ in before], attempt, jobs)
        for run, record in before:
            lists = db.layout.possible_lists(run.queue)
            takes_all = Selection(run.select, jobs).takes_all
            await pass_boundary(
                db,
                run,
                lists,
                attempt,
                scans[run.queue],
                takes_all=takes_all,
                frozen=record.seen,
                leave=jobs.leave,
            )
    if incomplete and _any_moved(await _move_unacked(db, incomplete, attempt, jobs)):
        raise unknown_consumer()
    for run in incomplete:
        await return_left(db, run, jobs)
        await run_script(db, Script.COMPLETE, [db.own.run(run.uid)], [run.uid, attempt])
    after = await _records(db, runs, frozen)
    left = {one for record in after for one in record.left_digests}
    left_ids = frozenset(name for name in jobs.ids if digest(name) in left)
    return replace(reduce(operator.add, [record.taken for record in after]), left_ids=left_ids)


async def _records(db: Database, runs: Sequence[Run], frozen: Collection[str]) -> list[Record]:
    """Return the records of the runs, and check that they still have all frozen jobs.

    A failover may lose the jobs and not the runs: then it is not known which messages are to be left.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`.
    """
    records = [await read_open_record(db, run.uid) for run in runs]
    if set(frozen).difference(*(record.seen for record in records)):
        raise lost_data()
    return records


async def pass_boundary(
    db: Database,
    run: Run,
    lists: Mapping[int, str],
    attempt: int = 1,
    scan: _Scan | None = None,
    *,
    takes_all: bool = True,
    frozen: Collection[str] = (),
    leave: Collection[str] = (),
) -> None:
    """Take these lists (by priority) in one step and mark the run as purged, if its record has these frozen jobs.

    The digests of task ids whose messages are to be left are recorded: what closes the run may not know the others.
    """
    scan = scan or _Scan()
    keys, fields = [db.own.run(run.uid)], []
    for priority, key in lists.items():
        ending = ready_ending(attempt, priority)
        keys += [key, db.own.quarantine(run.uid, ending)]
        fields += [TAKEN_FIELD + ending, UNSORTED_FIELD + ending]
    ending = unacked_ending(attempt)
    left = ["" if takes_all else scan.left, LEFT_FIELD + ending, scan.large_left, LARGE_LEFT_FIELD + ending]
    left_ids = [LEFT_ID_FIELD + digest(found) for found in scan.left_ids]
    jobs = [SEEN_FIELD + key for key in frozen]
    words: list[Word] = [run.uid, attempt, scan.undecodable, *left, int(run.take_unreadable), *fields]
    words += [len(jobs), *jobs, *left_ids, *(LEAVE_ID_FIELD + one for one in leave)]
    if (await run_script(db, Script.BOUNDARY, keys, words))[:1] == [b"FOREIGN"]:
        raise unreadable(run.queue)


async def _empty_unacked(db: Database, runs: Sequence[Run], attempt: int, jobs: Jobs) -> Mapping[str, _Scan]:
    """Move entries until a whole scan finds none to move; return that scan, by queue."""
    for _ in range(_MOST_SCANS):
        scans = await _move_unacked(db, runs, attempt, jobs)
        if not _any_moved(scans):
            return scans
    raise unknown_consumer()


def _any_moved(scans: Mapping[str, _Scan]) -> bool:
    return any(scan.moved for scan in scans.values())


async def _move_unacked(db: Database, runs: Sequence[Run], attempt: int, jobs: Jobs) -> Mapping[str, _Scan]:
    """Scan `unacked` once, however many the queues, and move the selected entries; return the scan by queue."""
    of_queue = {run.queue: run for run in runs}
    selections = {run.queue: Selection(run.select, jobs) for run in runs}
    scans = {run.queue: _Scan() for run in runs}
    counters = [field + unacked_ending(attempt) for field in (TAKEN_FIELD, LARGE_FIELD)]

    async def move(queue: str) -> None:
        run = of_queue[queue]
        for tags in batches(scans[queue].waiting):
            words: list[Word] = [run.uid, attempt, *counters, LARGEST, *tags]
            await run_script(db, Script.MOVE_UNACKED, unacked_keys(db, run, attempt), words)
        scans[queue].waiting.clear()

    async for found in entries_of(db, of_queue):
        if found.entry is None:
            for scan in scans.values():
                scan.undecodable += 1
            continue
        scan = scans[found.queue]
        if not selections[found.queue].matches(found.entry.envelope):
            scan.left += 1
            scan.large_left += found.is_large
            scan.left_ids |= jobs.ids & {task_id(found.entry.envelope) or ""}
            continue
        refuse_shared(found.entry, found.shared_with)
        scan.moved += 1
        # Without its envelope: a batch of each queue may wait in memory.
        scan.waiting.append(Found(found.tag, found.size, None))
        if len(scan.waiting) >= MOST_ENTRIES:
            await move(found.queue)
    for queue in scans:
        await move(queue)
    return scans


def unacked_keys(db: Database, run: Run, attempt: int) -> list[str]:
    """Return the keys of the scripts that move entries of `unacked` into the quarantine, or back."""
    return [
        db.own.run(run.uid),
        db.layout.unacked,
        db.layout.unacked_index,
        db.own.quarantine(run.uid, unacked_ending(attempt)),
        db.own.quarantine(run.uid, unacked_index_ending(attempt)),
    ]
