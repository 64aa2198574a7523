"""Read the messages that are consumed next: kombu takes them from the right end of a list (BRPOP)."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from queue_recovery.api.stuck import MOST_NEXT
from queue_recovery.broker.connection.values import Large, Value, size_of
from queue_recovery.broker.inspection.sightings import sighting_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import is_decodable, read_message, with_headers
from queue_recovery.diagnosis.stuck_evidence import Tail, digest

_SHORT: Final = 2**12
"""Bytes of a message of which several are read between two turns of the event loop."""


async def next_messages(db: Database, queues: Sequence[str]) -> Mapping[str, Mapping[int, Tail]]:
    """Return what is consumed next of each queue, by the priority of the lists that the target declares."""
    places = {key: (queue, priority) for queue in queues for priority, key in db.layout.declared_lists(queue).items()}
    found: dict[str, dict[int, Tail]] = {queue: {} for queue in queues}
    async for key, values in db.client.next_of_each(list(places), MOST_NEXT):
        if values:
            queue, priority = places[key]
            found[queue][priority] = await _tail(values)
    return found


async def _tail(values: Sequence[Value]) -> Tail:
    messages = []
    undecodable = 0
    await asyncio.sleep(0)
    for value in values:
        if size_of(value) > _SHORT:
            await asyncio.sleep(0)
        message = read_message(value)
        undecodable += not is_decodable(value, message)
        messages.append(sighting_of(with_headers(message, value.end) if isinstance(value, Large) else message))
    return Tail(next=_digest(values[0]), messages=messages, undecodable=undecodable)


def _digest(value: Value) -> bytes:
    return digest(value if isinstance(value, bytes) else b"%d %b" % (value.size, value.end))
