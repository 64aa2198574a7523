"""Unlinking what has outlived its time: quarantines, and the records of recoveries that are long over.

Not by TTL: servers with an eviction policy evict keys that have one first, and the expiry of a large key holds the
server up where UNLINK does not.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from queue_recovery.broker.client import Client
from queue_recovery.broker.keys import recovery_uid, run_key, runs_key
from queue_recovery.broker.run import read_record

_RUN_OUTLIVES_QUARANTINE = timedelta(days=7)
"""A late writer finds its run closed for at least this long, so that nothing is pushed twice."""

_LOOK_AGAIN = timedelta(hours=1)
"""For runs whose recovery is not over, although their time has come."""

_AT_ONCE = 20
"""Runs looked at in one call."""


async def sweep(client: Client, cluster: str, is_live: Callable[[str, str], Awaitable[bool]], now: datetime) -> int:
    """Unlink what is due of the cluster's released runs; return how many runs were looked at, at most 20.

    A run's quarantine goes when its retention has passed and the recovery is over; its record a week later.

    Args:
        client: the broker.
        cluster: identity of the Kubernetes cluster; the runs of others are not looked at.
        is_live: tells whether the recovery of that `namespace/name` and UID exists and has not ended.
        now: the time, with its zone.
    """
    index = runs_key(cluster)
    due = [uid.decode() for uid in await client.due(index, now.timestamp(), _AT_ONCE)]
    live: dict[str, bool] = {}
    for uid in due:
        record = await read_record(client, uid)
        if record is None:
            await client.forget(index, uid)
            continue
        recovery = recovery_uid(uid)
        if recovery not in live:
            live[recovery] = await is_live(record.fields["name"], recovery)
        if live[recovery]:
            await client.reschedule(index, uid, (now + _LOOK_AGAIN).timestamp())
            continue
        await client.unlink(record.quarantine_keys)
        end = datetime.fromtimestamp(float(record.fields["expires"]), now.tzinfo) + _RUN_OUTLIVES_QUARANTINE
        if now < end:
            await client.reschedule(index, uid, end.timestamp())
        else:
            await client.unlink([run_key(uid)])
            await client.forget(index, uid)
    return len(due)
