"""Count queues' messages, and find tasks that are still queued; nothing is changed."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from queue_recovery.broker.connection.batches import PageSize
from queue_recovery.broker.connection.values import size_of
from queue_recovery.broker.inspection.canvas import CanvasCount
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import read_message
from queue_recovery.broker.layout.headers import facts_of, name_of, retries, task_id
from queue_recovery.broker.layout.unacked import entries_of, refuse_shared
from queue_recovery.broker.run.selection import Selection
from queue_recovery.diagnosis.evidence import MOST_FACTS, MessageFacts
from queue_recovery.recovery.ports import Count, MessageName

_END = 500
"""Messages examined for their canvas at either end of a list: the oldest, and the newest retries."""


async def depths(db: Database, queues: Sequence[str]) -> tuple[Mapping[str, int], int]:
    """Return each queue's depth over the lists that the target declares, and the number of entries of `unacked`."""
    lists = {queue: list(db.layout.declared_lists(queue).values()) for queue in queues}
    *lengths, unacked = await db.client.lengths([key for keys in lists.values() for key in keys], [db.layout.unacked])
    rest = iter(lengths)
    return {queue: sum(next(rest) for _ in keys) for queue, keys in lists.items()}, unacked


async def count(
    db: Database,
    queues: Collection[str],
    selection: Selection,
    names: int,
) -> Count:
    """Count the queues' messages, those that would be left, and the canvas of those that would be taken.

    Of a list that is taken whole, only the ends are read, so that planning does not slow down with the depth. Of any
    other list, the messages that were read are counted: producers continue meanwhile, and the difference of two lengths
    would be wrong. `names` is how many messages of either kind are named.

    Raises:
        RecoveryError: `SharedRoute`.
    """
    lengths = await _lengths(db, queues)
    ready = sum(lengths.values())
    unacked = undecodable = leave = 0
    canvas = CanvasCount()
    taken: list[MessageName] = []
    left: list[MessageName] = []
    left_ids: set[str] = set()
    are_retried = False
    facts: list[MessageFacts] = []

    def examine(envelope: object) -> bool:
        """Record a message, and tell whether it would be taken."""
        nonlocal are_retried
        takes = selection.matches(envelope)
        named = taken if takes else left
        if len(named) < names:
            named.append(name_of(envelope))
        if takes:
            canvas.examine(envelope)
        else:
            of_job = selection.job_ids & {task_id(envelope) or ""}
            left_ids.update(of_job)
            are_retried = are_retried or bool(of_job and retries(envelope))
        if takes and len(facts) < MOST_FACTS and (found := facts_of(envelope)) is not None:
            facts.append(found)
        return takes

    messages = _at_ends if selection.takes_all else _in_lists
    read_count = 0
    async for portion in messages(db, lengths):
        read_count += len(portion)
        leave += sum(not examine(envelope) for envelope in portion)
    async for found in entries_of(db, queues):
        if found.entry is None:
            undecodable += 1
            continue
        unacked += 1
        if examine(found.entry.envelope):
            refuse_shared(found.entry, found.shared_with)
        else:
            leave += 1
    return Count(
        ready=ready if selection.takes_all else read_count,
        unacked=unacked,
        undecodable=undecodable,
        leave=leave,
        canvas=canvas.total(),
        left_ids=frozenset(left_ids),
        are_retried=are_retried,
        taken=tuple(taken),
        left=tuple(left),
        facts=tuple(facts),
    )


async def queued_task_ids(db: Database, queues: Collection[str], among: Collection[str]) -> frozenset[str]:
    """Return which of these task ids have a message in the queues' lists or in `unacked`.

    A message in `unacked` that may be another queue's copy counts: its task may yet run.
    """
    wanted = frozenset(among)
    found: set[str] = set()
    if wanted:
        async for portion in _in_lists(db, await _lengths(db, queues)):
            found |= wanted & {task_id(envelope) or "" for envelope in portion}
            if found == wanted:
                return wanted
        async for item in entries_of(db, queues):
            if item.entry is not None:
                found |= wanted & {task_id(item.entry.envelope) or ""}
    return frozenset(found)


async def _lengths(db: Database, queues: Collection[str]) -> Mapping[str, int]:
    lengths: dict[str, int] = {}
    for queue in queues:
        lists = list(db.layout.possible_lists(queue).values())
        lengths |= zip(lists, await db.client.lengths(lists, []), strict=True)
    return lengths


async def _in_lists(db: Database, lengths: Mapping[str, int]) -> AsyncIterator[Sequence[object]]:
    """Read the messages of lists, in portions; a message that is not JSON is None.

    Lists are read from their head by index: what is pushed meanwhile shifts messages into later portions, where those
    that were read already are skipped.
    """
    for key, length in lengths.items():
        first, page = 0, PageSize()
        before: list[int] = []
        while length and (messages := await db.client.lrange(key, first, first + page.entries - 1)):
            hashes = list(map(hash, messages))
            shift = next((n for n in range(min(len(before), len(hashes)), 0, -1) if before[-n:] == hashes[:n]), 0)
            yield [read_message(message) for message in messages[shift:]]
            before = hashes
            first += len(messages)
            page.note(list(map(size_of, messages)))


async def _at_ends(db: Database, lengths: Mapping[str, int]) -> AsyncIterator[Sequence[object]]:
    """Read the messages at both ends of lists, in portions; a message that is not JSON is None."""
    for key, length in lengths.items():
        ends = [range(length)] if length <= 2 * _END else [range(_END), range(length - _END, length)]
        page = PageSize()
        for end in ends:
            first = end.start
            while first < end.stop:
                messages = await db.client.lrange(key, first, min(first + page.entries, end.stop) - 1)
                if not messages:
                    break  # consumed meanwhile
                yield [read_message(message) for message in messages]
                first += len(messages)
                page.note(list(map(size_of, messages)))
