"""Acquire queues' locks, find who holds them, and release them.

Any client of the broker may have written what is read here.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from queue_recovery.api.base import is_full_name
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.own_keys import recovery_uid
from queue_recovery.broker.run.record import read_record
from queue_recovery.broker.run.script import run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import locked_by
from queue_recovery.recovery.ports import Holder, Run
from queue_recovery.recovery.ports.run import DEFAULT_RETENTION_SECONDS


async def open_runs(db: Database, runs: Sequence[Run]) -> None:
    """Acquire the queues' locks and create the runs, all or none; does nothing more if they are open already.

    Raises:
        RecoveryError: `Locked`, while another run holds one of the locks.
        RecoveryError: `AlreadyClosed`, `BrokerLostData`.
    """
    keys = [key for run in runs for key in (_lock(db, run.queue), db.own.run(run.uid))]
    first = runs[0]
    words: list[Word] = [first.name, first.cluster, first.cluster_uid or "", first.retention_seconds]
    for run in runs:
        words += [run.uid, db.layout.bare_list(run.queue), run.restore.uid if run.restore else ""]
    answer = await run_script(db, Script.OPEN, keys, words)
    if answer[0] == b"LOCKED":
        numbers, uids = answer[1::2], answer[2::2]
        held = {runs[int(n) - 1].queue: uid for n, uid in zip(numbers, uids, strict=True)}
        found = await _holders(db, held)
        raise locked_by({f'queue "{queue}"': f'recovery "{holder.name}"' for queue, holder in found.items()})


async def release(db: Database, run: Run, *, expires: datetime, retain: bool) -> None:
    """Release the queue's lock, if it is this run's, and schedule the end of the quarantine's retention.

    Without `retain` the quarantine is unlinked at once.
    """
    record = await read_record(db, run.uid)
    if record is not None and not retain:
        await db.client.unlink(record.quarantine_keys)
    keys = [_lock(db, run.queue), db.own.run(run.uid), db.own.runs(run.cluster)]
    await run_script(db, Script.RELEASE, keys, [run.uid, int(expires.timestamp())])


async def holders(db: Database, queues: Sequence[str]) -> Mapping[str, Holder]:
    """Return the recoveries that hold these queues' locks, by queue; free queues are omitted."""
    uids = await db.client.words([_lock(db, queue) for queue in queues])
    return await _holders(db, {queue: uid for queue, uid in zip(queues, uids, strict=True) if uid is not None})


async def _holders(db: Database, locks: Mapping[str, bytes]) -> Mapping[str, Holder]:
    """Return the recoveries that hold locks, given by queue as each lock's value, the UID of a run."""
    runs = {queue: _text(uid) for queue, uid in locks.items()}
    keys = [db.own.run(uid) for uid in runs.values()]
    found = await db.client.hmget_each(keys, "name", "cluster", "cluster_uid", "retention")
    return {
        queue: Holder(
            uid=recovery_uid(uid),
            name=_text(name) if name is not None and is_full_name(_text(name)) else recovery_uid(uid),
            run=uid,
            cluster=None if cluster is None else _text(cluster),
            cluster_uid=None if cluster_uid is None else _text(cluster_uid),
            retention_seconds=_seconds(retention),
            lock=_lock(db, queue),
            quarantine=db.own.quarantine_name(uid),
        )
        for (queue, uid), (name, cluster, cluster_uid, retention) in zip(runs.items(), found, strict=True)
    }


def _lock(db: Database, queue: str) -> str:
    return db.own.lock(db.layout.bare_list(queue))


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _seconds(retention: bytes | None) -> int:
    """Parse a retention; return the default for one that is absent or not a number."""
    if retention is None or not re.fullmatch(rb"\d{1,8}", retention):
        return DEFAULT_RETENTION_SECONDS
    return int(retention)
