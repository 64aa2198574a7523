"""Unlink quarantines whose retention is over, and later the records of their runs.

Not by TTL: servers with an eviction policy evict keys that have one first, and the expiry of a large key blocks the
server, which UNLINK does not.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from queue_recovery.api.reasons import Outcome
from queue_recovery.broker.connection.client import LONGEST_WORD
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.own_keys import recovery_uid
from queue_recovery.broker.run.record import read_record
from queue_recovery.broker.run.script import run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError

_RUN_OUTLIVES_QUARANTINE = timedelta(days=7)
"""How long a late writer still finds its run closed, so that nothing is pushed twice."""

_RETRY = timedelta(hours=1)
"""For runs whose retention is over, but whose recovery is not."""

_RETRY_SOON = timedelta(minutes=1)
"""For runs whose messages are being restored."""

_AT_ONCE = 20
"""Runs that one command returns."""

_MOST_PORTIONS = 500
"""Portions of one call, at most: other clients may write to the index as fast as it is read."""


async def expire_quarantines(
    db: Database, cluster: str, is_live: Callable[[str, str], Awaitable[bool]], now: datetime
) -> int:
    """Unlink what is due of the cluster's released runs; return how many runs were examined.

    A run's quarantine is unlinked when its retention and its recovery are over, but not while its messages are being
    restored; its record is unlinked a week later.

    Args:
        db: the broker's database.
        cluster: identity of the Kubernetes cluster; other clusters' runs are not examined.
        is_live: tells whether a recovery, by `namespace/name` and UID, exists and has not finished.
        now: the time, with its zone.

    Raises:
        RecoveryError: `BrokerLostData`, `WrongKeyType`, once all are examined, if another client changed a record.
    """
    index = db.own.runs(cluster)
    live: dict[str, bool] = {}

    async def lives(name: str, uid: str) -> bool:
        recovery = recovery_uid(uid)
        if recovery not in live:
            live[recovery] = await is_live(name, recovery)
        return live[recovery]

    examined = 0
    refused: RecoveryError | None = None
    for _ in range(_MOST_PORTIONS):
        due = await _due(db, index, now)
        for uid in due:
            try:
                await _expire(db, index, uid, lives, now=now)
            except RecoveryError as error:
                if error.outcome is not Outcome.FAILED:
                    raise
                refused = error
                await db.client.reschedule(index, uid, (now + _RETRY).timestamp())
        examined += len(due)
        if len(due) < _AT_ONCE:
            break
    if refused is not None:
        raise refused
    return examined


async def _due(db: Database, index: str, now: datetime) -> list[bytes]:
    """Return the first runs of the index that are due."""
    answer = [b"AGAIN"]
    while answer[:1] == [b"AGAIN"]:
        answer = await run_script(db, Script.DUE, [index], [now.timestamp(), _AT_ONCE, LONGEST_WORD])
    return answer[1:]


async def _expire(
    db: Database, index: str, member: bytes, is_live: Callable[[str, str], Awaitable[bool]], *, now: datetime
) -> None:
    """Unlink what is due of one run, then reschedule it, or remove it from the index."""
    uid = member.decode(errors="replace")
    record = await read_record(db, uid)
    if record is None:
        await db.client.forget(index, member)
        return
    released = record.released
    if await is_live(released.name, uid):
        await db.client.reschedule(index, member, (now + _RETRY).timestamp())
        return
    keys = [db.own.lock(released.bare_list), *record.quarantine_keys]
    if (await run_script(db, Script.EXPIRE, keys, [uid, db.own.run("")]))[0] == b"IN_USE":
        await db.client.reschedule(index, member, (now + _RETRY_SOON).timestamp())
        return
    end = datetime.fromtimestamp(released.expires, now.tzinfo) + _RUN_OUTLIVES_QUARANTINE
    if now < end:
        await db.client.reschedule(index, member, end.timestamp())
    else:
        await db.client.unlink([db.own.run(uid)])
        await db.client.forget(index, member)
