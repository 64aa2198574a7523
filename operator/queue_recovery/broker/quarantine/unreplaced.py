"""Count the quarantined messages that no job has replaced: unless they are restored, nothing does their work."""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from queue_recovery.broker.connection.batches import PageSize
from queue_recovery.broker.connection.values import Large, Value, size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import read_entry, read_message
from queue_recovery.broker.layout.headers import name_of
from queue_recovery.broker.run.record import Record, read_record
from queue_recovery.recovery.ports import MessageName, Run, Unreplaced

_MOST: Final = 10_000
"""Messages that are read, at most: finishing must not take longer the more was taken."""

_MOST_BYTES: Final = 64 * 2**20

_NAMED: Final = 5


async def unreplaced(db: Database, runs: Sequence[Run]) -> Unreplaced:
    """Count the messages in the runs' quarantines that none of their enqueued jobs replaces.

    A job replaces the messages with the task id that its document had. If that is not known, the job is assumed to
    replace one of the other task ids.
    """
    records = [record for run in runs if (record := await read_record(db, run.uid)) is not None]
    total = sum(sum(record.quarantined.values()) for record in records)
    replaced = frozenset[str]().union(*(record.enqueued_again for record in records))
    unknown = sum(record.enqueued_unknown for record in records)
    names: list[MessageName] = []
    ids: set[int] = set()
    """Hashes, because an id may be as long as a message."""
    read = rest = size = 0
    for record in records:
        async for portion in _messages(db, record):
            for name, length in portion:
                read, size = read + 1, size + length
                if name.task_id not in replaced:
                    rest += 1
                    ids.add(hash(name.task_id))
                    if len(names) < _NAMED:
                        names.append(name)
            if read >= _MOST or size >= _MOST_BYTES or (not replaced and not unknown and len(names) == _NAMED):
                break
    if not replaced and not unknown:
        return Unreplaced(count=total, is_exact=True, first=tuple(names))
    if unknown:
        # One job replaces all messages of its task.
        return Unreplaced(count=max(0, len(ids) - unknown), is_exact=False, first=())
    return Unreplaced(count=rest, is_exact=read >= total, first=tuple(names))


async def _messages(db: Database, record: Record) -> AsyncIterator[Sequence[tuple[MessageName, int]]]:
    """Read a run's quarantine in portions: each message's names, and how many bytes of it were read."""
    for ending in sorted(record.quarantined):
        key = record.key(ending)
        if ending.endswith(":unacked"):
            async for entries in db.client.scan_hash(key):
                yield [(_held(value), _length(value)) for _, value in entries]
            continue
        first, page = 0, PageSize()
        while messages := await db.client.lrange(key, first, first + page.entries - 1):
            yield [(name_of(read_message(message)), _length(message)) for message in messages]
            first += len(messages)
            page.note(list(map(size_of, messages)))


def _length(value: Value) -> int:
    return len(value.end if isinstance(value, Large) else value)


def _held(value: Value) -> MessageName:
    entry = read_entry(value)
    return name_of(entry.envelope if entry else None)
