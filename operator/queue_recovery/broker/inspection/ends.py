"""Read what changes of a queue when a message is consumed: the tail of each list, and its newest delivery."""

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Final

from queue_recovery.broker.connection.values import END, Large, Value
from queue_recovery.broker.layout.bindings import Allowance, Bindings, Exhausted
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import read_entry
from queue_recovery.recovery.ports import ListEnd, QueueEnds

_TAIL: Final = 10
"""Messages that are read of each list, at most."""

_MOST_BINDING_READS: Final = 10
_MOST_ROUTES: Final = 100
"""Pairs of exchange and routing key that are looked up, at most; the default exchange needs no look-up."""


async def ends(db: Database, queues: Collection[str]) -> Mapping[str, QueueEnds]:
    """Return what changes of each queue when a message is consumed.

    kombu consumes a list from its right end, and writes the delivery to `unacked` and its index
    (`kombu/transport/redis.py`: `_brpop_start`, `QoS.append`).
    """
    newest = await _newest(db, queues)
    return {queue: QueueEnds(lists=await _lists(db, queue), newest=newest.get(queue)) for queue in queues}


async def _lists(db: Database, queue: str) -> Mapping[str, ListEnd]:
    keys = list(db.layout.declared_lists(queue).values())
    before = await db.client.lengths(keys, [])
    last = {
        key: await db.client.lrange(key, -_TAIL, -1) if length else [] for key, length in zip(keys, before, strict=True)
    }
    after = await db.client.lengths(keys, [])
    return {
        key: ListEnd(length=length, length_after=later, tail=tuple(_digest(one) for one in reversed(last[key])))
        for key, length, later in zip(keys, before, after, strict=True)
    }


async def _newest(db: Database, queues: Collection[str]) -> Mapping[str, float]:
    """Return when the newest message of each queue was delivered, as far as it is among the newest of the database."""
    bindings = Bindings(db, queues, Allowance(reads=_MOST_BINDING_READS, routes=_MOST_ROUTES))
    _, found = await db.client.delivered(db.layout.unacked_index, db.layout.unacked)
    times = dict(found)
    rest = list(times)
    newest: dict[str, float] = {}
    while rest:
        values = await db.client.values(db.layout.unacked, rest, largest=END, end=END)
        for tag, value in zip(rest, values, strict=False):
            for queue in await _queues_of(bindings, value):
                newest.setdefault(queue, float(times[tag]))
        rest = rest[len(values) :]
    return newest


async def _queues_of(bindings: Bindings, value: Value | None) -> Collection[str]:
    entry = None if value is None else read_entry(value)
    if entry is None:
        return ()
    try:
        return (await bindings.route(entry.exchange, entry.routing_key)).wanted
    except Exhausted:
        return ()


def _digest(value: Value) -> bytes:
    return sha256(b"%d %b" % (value.size, value.end) if isinstance(value, Large) else value).digest()
