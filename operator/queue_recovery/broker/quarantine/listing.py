"""List the first messages of a quarantine by their headers. Nothing is changed, and no body is parsed."""

from collections.abc import AsyncIterator

from queue_recovery.broker.connection.batches import PageSize
from queue_recovery.broker.connection.client import LONGEST_WORD
from queue_recovery.broker.connection.values import Large, Value, size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import envelope_of, read_entry, read_message
from queue_recovery.broker.layout.headers import retries, task_id, task_name
from queue_recovery.broker.layout.own_keys import attempt_and_priority, attempt_of, unacked_ending, unacked_index_ending
from queue_recovery.broker.quarantine.choice import Choice, Fate
from queue_recovery.broker.run.record import Record, read_record
from queue_recovery.recovery.ports import QuarantinedHeaders, Restore


async def first_restorable(db: Database, restore: Restore, most: int) -> list[QuarantinedHeaders]:
    """Describe the first messages that would be restored, at most `most`, the next one to be consumed first.

    Of each purge attempt, those that workers held come before those that waited, and these are ordered by priority. An
    entry of `unacked` without a time of delivery is omitted: it has no place in the order.
    """
    earlier = await read_record(db, restore.uid)
    if earlier is None:
        return []
    choice, jobs = Choice(restore, earlier), earlier.seen_as
    found: list[QuarantinedHeaders] = []
    for ending in sorted(earlier.quarantined, key=_order):
        held = ending.endswith(":unacked")
        async for value in _held(db, earlier, attempt_of(ending)) if held else _waiting(db, earlier, ending):
            if (choice.fate_of_entry(value) if held else choice.fate(value)) is Fate.RESTORED:
                found.append(_of_entry(value, jobs) if held else _headers(read_message(value), size_of(value), jobs))
            if len(found) == most:
                return found
    return found


def _order(ending: str) -> tuple[int, int]:
    """Order the quarantine's keys: earlier purge attempts first, and of each what workers held before the lists."""
    return (attempt_of(ending), -1) if ending.endswith(":unacked") else attempt_and_priority(ending)


async def _held(db: Database, earlier: Record, attempt: int) -> AsyncIterator[Value]:
    """Return the entries that workers held, the earliest delivery first."""
    entries, times = earlier.key(unacked_ending(attempt)), earlier.key(unacked_index_ending(attempt))
    passed, page = 0, PageSize()
    while tags := await db.client.by_rank(times, -passed - page.entries, -passed - 1):
        oldest = tags[::-1]
        values = await db.client.values(entries, oldest)  # as many as fit into one reply
        for value in values:
            if value is not None:
                yield value
        page.note([size_of(value) for value in values if value is not None])
        passed += max(1, len(values))


async def _waiting(db: Database, earlier: Record, ending: str) -> AsyncIterator[Value]:
    """Return the messages of a list from its tail, where they are consumed, to its head."""
    key = earlier.key(ending)
    (left,) = await db.client.lengths([key], [])
    page = PageSize()
    while left > 0:
        count = min(page.entries, left)
        messages = await db.client.lrange(key, left - count, left - 1)
        while len(messages) < count and count > 1:  # the reply was full before it reached the tail
            count //= 2
            messages = await db.client.lrange(key, left - count, left - 1)
        for message in reversed(messages):
            yield message
        page.note(list(map(size_of, messages)))
        left -= count


def _of_entry(entry: Value, jobs: dict[str, str]) -> QuarantinedHeaders:
    held = read_entry(entry)
    message = entry if isinstance(entry, Large) else envelope_of(entry)
    return _headers(None if held is None else held.envelope, size_of(entry if message is None else message), jobs)


def _headers(envelope: object, size: int, jobs: dict[str, str]) -> QuarantinedHeaders:
    name = task_id(envelope)
    return QuarantinedHeaders(
        task_id=_bounded(name),
        task=_bounded(task_name(envelope)),
        retries=retries(envelope),
        job=None if name is None else jobs.get(name),
        size=size,
    )


def _bounded(text: str | None) -> str | None:
    """Cut a text of any length; less than this is ever shown."""
    return None if text is None else text[:LONGEST_WORD]
