"""Read `unacked`: the messages that workers hold or have left behind, of all queues of a database in one hash."""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.batches import fitting
from queue_recovery.broker.connection.values import LARGEST, size_of
from queue_recovery.broker.layout.bindings import Bindings
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import Entry, read_entry
from queue_recovery.recovery.errors import RecoveryError


@dataclass(frozen=True)
class Found:
    """An entry that belongs to one of the queues, or one that cannot be read (`entry` is None)."""

    tag: bytes
    size: int
    """Of the entry, in bytes."""
    entry: Entry | None
    queue: str = ""
    """The queue that it belongs to; the first by name if its exchange copied it to several of the queues."""
    shared_with: frozenset[str] = frozenset()
    """The first other queues that its exchange copied it to: all copies have one delivery tag, so it may be any."""

    @property
    def is_large(self) -> bool:
        """Whether it is too large to be read whole."""
        return self.size > LARGEST


async def entries_of(db: Database, queues: Collection[str]) -> AsyncIterator[Found]:
    """Scan `unacked` once for the entries of some queues, and for those that belong to no known queue.

    An entry may be returned twice while the server resizes the hash.
    """
    bindings = Bindings(db, queues)
    async for portion in db.client.scan_hash(db.layout.unacked):
        for tag, value in portion:
            entry = None if tag is None else read_entry(value)
            if tag is None or entry is None:
                yield Found(b"", size_of(value), None)
                continue
            route = await bindings.route(entry.exchange, entry.routing_key)
            if route.wanted:
                yield Found(tag, size_of(value), entry, min(route.wanted), route.others)


def refuse_shared(entry: Entry, shared_with: frozenset[str]) -> None:
    """Refuse an entry that may be another queue's copy.

    Raises:
        RecoveryError: `SharedRoute`.
    """
    if shared_with:
        others = ", ".join(sorted(shared_with))
        raise RecoveryError(
            Reason.SHARED_ROUTE,
            f'exchange "{entry.exchange}" copies messages of the queue to {others} too; in '
            "unacked the copies look the same, so neither queue can be purged alone: let the workers finish "
            "what they hold, or bind the queues to routing keys of their own",
        )


def batches(found: Sequence[Found]) -> Iterator[list[bytes]]:
    """Split entries into batches that one script may move; yields their delivery tags."""
    rest = found
    while rest:
        count = fitting(item.size for item in rest)
        yield [item.tag for item in rest[:count]]
        rest = rest[count:]
