"""Read the messages of queues in `unacked` with the times of their deliveries, the newest first."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from typing import Final

from queue_recovery.broker.connection.values import END, Large, Value, size_of
from queue_recovery.broker.layout.bindings import Bindings
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import after_envelope, priority, read_entry
from queue_recovery.broker.layout.unacked import refuse_shared
from queue_recovery.recovery.ports import HeldMessage

_AT_ONCE: Final = 10
"""Entries parsed between two turns of the event loop: a malicious one may take a millisecond."""


async def held(db: Database, queues: Collection[str]) -> AsyncIterator[Sequence[HeldMessage]]:
    """Read the messages of these queues in `unacked`, in portions, the newest first.

    A message that is delivered meanwhile may be missing. One that cannot be read belongs to no queue, and is omitted.

    Raises:
        RecoveryError: `SharedRoute`, if a message may be another queue's copy.
    """
    bindings = Bindings(db, queues)
    rest: int | None = None
    while rest != 0:
        rest, found = await db.client.delivered(db.layout.unacked_index, db.layout.unacked, rest)
        times = dict(found)
        tags = list(times)
        while tags:
            values = await db.client.values(db.layout.unacked, tags, largest=END, end=END)
            portion = []
            for number, (tag, value) in enumerate(zip(tags, values, strict=False)):
                if number % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                message = None if value is None else await _message(bindings, tag, times[tag], value)
                if message is not None:
                    portion.append(message)
            if portion:
                yield portion
            tags = tags[len(values) :]


async def _message(bindings: Bindings, tag: bytes, time: bytes, value: Value) -> HeldMessage | None:
    entry = read_entry(value)
    if entry is None:
        return None
    route = await bindings.route(entry.exchange, entry.routing_key)
    # Of other queues' entries, which may be most, no more is parsed.
    after = after_envelope(value) if route.wanted else None
    if after is None:
        return None
    refuse_shared(entry, route.others | (route.wanted - {min(route.wanted)}))
    end = value.end if isinstance(value, Large) else value
    return HeldMessage(
        queue=min(route.wanted),
        delivered=float(time) if time else None,
        tag=tag,
        time=time,
        priority=priority(entry.envelope),
        after=end[len(end) - after :],
        size=size_of(value),
    )
