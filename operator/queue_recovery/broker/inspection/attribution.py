"""Count the oldest entries of `unacked` by queue, at a cost that does not grow with their number.

`unacked` is one hash of all queues, and only an entry itself names its queue. Its index has the time of each delivery,
so the oldest entries are read: those that matter when a queue is stuck.
"""

import asyncio
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from queue_recovery.broker.connection.values import LARGEST, Indexed, Large
from queue_recovery.broker.inspection.sightings import sighting_of
from queue_recovery.broker.layout.bindings import Allowance, Bindings, Exhausted
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import Entry, read_entry, with_headers
from queue_recovery.diagnosis.stuck_evidence import Sighting
from queue_recovery.recovery.ports import Held, Unacked

_MOST_ENTRIES: Final = 1000
"""Entries that one call reads, at most."""

_MOST_TASK_IDS: Final = 40
"""Entries of which one call returns the task ids: the results of these tasks may be read."""

_MOST_BYTES: Final = 16 * 2**20
"""Bytes of the entries that one call reads, at most: the server copies each of them once."""

_END: Final = 4 * 2**10
"""Bytes that are sent of an entry: exchange and routing key are at its end, with up to 255 bytes each."""

_AT_ONCE: Final = 10
"""Entries parsed between two turns of the event loop: a malicious one may take a millisecond."""

_MOST_BINDING_READS: Final = 10
_MOST_ROUTES: Final = 100
"""Pairs of exchange and routing key that are looked up, at most; the default exchange needs no look-up."""

_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


async def attribute(db: Database, queues: Collection[str]) -> Unacked:
    """Count the oldest entries of `unacked` by queue, with the time of each queue's oldest delivery.

    An entry whose exchange copied it to several of the queues counts for the first of them by name.
    """
    total, indexed = await db.client.oldest(db.layout.unacked_index, db.layout.unacked, _MOST_ENTRIES)
    readable = {entry.field: entry.score for entry in affordable(indexed)}
    bindings = Bindings(db, queues, Allowance(reads=_MOST_BINDING_READS, routes=_MOST_ROUTES))
    sightings: dict[str, list[Sighting]] = {queue: [] for queue in queues}
    elsewhere: list[datetime | None] = []
    known = task_ids = 0
    rest = list(readable)
    while rest:
        values = await db.client.values(db.layout.unacked, rest[:100], largest=_END, end=_END)
        for number, (field, value) in enumerate(zip(rest, values, strict=False)):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            entry = None if value is None else read_entry(value)
            found = "" if value is None else await _queue_of(bindings, entry)  # or acknowledged meanwhile
            if found is None:
                continue
            known += 1
            delivered = delivery_time(readable[field])
            if entry is not None and found in sightings:
                envelope = with_headers(entry.envelope, value.end) if isinstance(value, Large) else entry.envelope
                with_task_id = task_ids < _MOST_TASK_IDS
                sighting = sighting_of(envelope, delivered=delivered, held=True, with_task_id=with_task_id)
                task_ids += sighting.task_id is not None
                sightings[found].append(sighting)
            elif entry is not None:
                elsewhere.append(delivered)
        rest = rest[len(values) :]
    held = {queue: _held(sightings[queue]) for queue in queues}
    return Unacked(total=total, queues=held, not_counted=max(0, total - known), elsewhere=elsewhere)


def _held(sightings: Sequence[Sighting]) -> Held:
    since = min((one.delivered for one in sightings if one.delivered is not None), default=None)
    return Held(count=len(sightings), since=since, sightings=sightings)


def affordable(entries: Iterable[Indexed]) -> Iterator[Indexed]:
    """Yield the entries that may be read: none too large for a message, and at most `_MOST_BYTES` together.

    Pure.
    """
    total = 0
    for entry in entries:
        if entry.size > LARGEST:
            continue
        total += entry.size
        if total > _MOST_BYTES:
            return
        yield entry


def delivery_time(score: float) -> datetime | None:
    """Return the time that a score of the index means, or None if it cannot be one. Pure."""
    return datetime.fromtimestamp(score, UTC) if 0 < score < _LATEST else None


async def _queue_of(bindings: Bindings, entry: Entry | None) -> str | None:
    """Return the queue of an entry; empty if it is another queue's, None if that is not known."""
    if entry is None:
        return None
    try:
        route = await bindings.route(entry.exchange, entry.routing_key)
    except Exhausted:
        return None
    return min(route.wanted, default="")
