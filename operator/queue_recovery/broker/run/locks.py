"""Find the recoveries that hold queues' locks. Any client of the broker may have written what is read here."""

import re
from collections.abc import Mapping, Sequence

from queue_recovery.api.base import is_full_name
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.layout.own_keys import recovery_uid
from queue_recovery.recovery.ports import Holder
from queue_recovery.recovery.ports.run import DEFAULT_RETENTION_SECONDS


async def holders(client: Client, layout: Layout, queues: Sequence[str]) -> Mapping[str, Holder]:
    """Return the recoveries that hold these queues' locks, by queue; free queues are omitted."""
    uids = await client.words([client.own.lock(layout.bare_list(queue)) for queue in queues])
    return await holders_of(
        client, layout, {queue: uid for queue, uid in zip(queues, uids, strict=True) if uid is not None}
    )


async def holders_of(client: Client, layout: Layout, locks: Mapping[str, bytes]) -> Mapping[str, Holder]:
    """Return the recoveries that hold locks, given by queue as each lock's value, the UID of a run."""
    runs = {queue: _text(uid) for queue, uid in locks.items()}
    keys = [client.own.run(uid) for uid in runs.values()]
    found = await client.hmget_each(keys, "name", "cluster", "cluster_uid", "retention")
    return {
        queue: Holder(
            uid=recovery_uid(uid),
            name=_text(name) if name is not None and is_full_name(_text(name)) else recovery_uid(uid),
            run=uid,
            cluster=None if cluster is None else _text(cluster),
            cluster_uid=None if cluster_uid is None else _text(cluster_uid),
            retention_seconds=_seconds(retention),
            lock=client.own.lock(layout.bare_list(queue)),
            quarantine=client.own.quarantine_name(uid),
        )
        for (queue, uid), (name, cluster, cluster_uid, retention) in zip(runs.items(), found, strict=True)
    }


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _seconds(retention: bytes | None) -> int:
    """Parse a retention; return the default for one that is absent or not a number."""
    if retention is None or not re.fullmatch(rb"\d{1,8}", retention):
        return DEFAULT_RETENTION_SECONDS
    return int(retention)
