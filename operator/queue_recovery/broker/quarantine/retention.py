"""Unlinking what has outlived its time: quarantines, and the records of recoveries that are long over.

Not by TTL: servers with an eviction policy evict keys that have one first, and the expiry of a large key holds the
server up where UNLINK does not.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from queue_recovery.broker.connection.client import LONGEST_WORD, Client
from queue_recovery.broker.layout.own_keys import recovery_uid
from queue_recovery.broker.run.record import read_record
from queue_recovery.broker.run.script import run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import Rejected

_RUN_OUTLIVES_QUARANTINE = timedelta(days=7)
"""A late writer finds its run closed for at least this long, so that nothing is pushed twice."""

_LOOK_AGAIN = timedelta(hours=1)
"""For runs whose recovery is not over, although their time has come."""

_LOOK_AGAIN_SOON = timedelta(minutes=1)
"""For runs whose messages are being put back."""

_AT_ONCE = 20
"""Runs asked for in one command."""

_MOST_PORTIONS = 500
"""Portions of one pass: others may write to the index as fast as it is read."""


async def sweep(client: Client, cluster: str, is_live: Callable[[str, str], Awaitable[bool]], now: datetime) -> int:
    """Unlink what is due of the cluster's released runs; return how many runs were looked at.

    A run's quarantine goes when its retention has passed and the recovery is over, but not while messages of it are put
    back; its record goes a week later.

    Args:
        client: the broker.
        cluster: identity of the Kubernetes cluster; the runs of others are not looked at.
        is_live: tells whether the recovery of that `namespace/name` and UID exists and has not ended.
        now: the time, with its zone.

    Raises:
        Rejected: `BrokerLostData`, `WrongKeyType`, at the end, if somebody else has written what one of the runs says.
    """
    index = client.own.runs(cluster)
    live: dict[str, bool] = {}

    async def lives(name: str, uid: str) -> bool:
        recovery = recovery_uid(uid)
        if recovery not in live:
            live[recovery] = await is_live(name, recovery)
        return live[recovery]

    looked_at = 0
    refused: Rejected | None = None
    for _ in range(_MOST_PORTIONS):
        due = await _due(client, index, now)
        for uid in due:
            try:
                await _look_at(client, index, uid, lives, now=now)
            except Rejected as error:
                refused = error
                await client.reschedule(index, uid, (now + _LOOK_AGAIN).timestamp())
        looked_at += len(due)
        if len(due) < _AT_ONCE:
            break
    if refused is not None:
        raise refused
    return looked_at


async def _due(client: Client, index: str, now: datetime) -> list[bytes]:
    """Return the first runs of the index whose time has come."""
    answer = [b"AGAIN"]
    while answer[:1] == [b"AGAIN"]:
        answer = await run_script(client, Script.DUE, [index], [now.timestamp(), _AT_ONCE, LONGEST_WORD])
    return answer[1:]


async def _look_at(
    client: Client, index: str, member: bytes, is_live: Callable[[str, str], Awaitable[bool]], *, now: datetime
) -> None:
    """Unlink what is due of one run; it is due again later than now, or forgotten."""
    uid = member.decode(errors="replace")
    record = await read_record(client, uid)
    if record is None:
        await client.forget(index, member)
        return
    released = record.released
    if await is_live(released.name, uid):
        await client.reschedule(index, member, (now + _LOOK_AGAIN).timestamp())
        return
    keys = [client.own.lock(released.bare_list), *record.quarantine_keys]
    if (await run_script(client, Script.EXPIRE, keys, [uid, client.own.run("")]))[0] == b"IN_USE":
        await client.reschedule(index, member, (now + _LOOK_AGAIN_SOON).timestamp())
        return
    end = datetime.fromtimestamp(released.expires, now.tzinfo) + _RUN_OUTLIVES_QUARANTINE
    if now < end:
        await client.reschedule(index, member, end.timestamp())
    else:
        await client.unlink([client.own.run(uid)])
        await client.forget(index, member)
