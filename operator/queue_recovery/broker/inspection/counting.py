"""Looking at a queue without changing anything."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.batches import Portion
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.connection.values import size_of
from queue_recovery.broker.inspection.canvas import TailCount
from queue_recovery.broker.layout.envelope import is_envelope, name_of, read_message, retries, task_id
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.layout.unacked import entries_of, refuse_shared
from queue_recovery.broker.run.script import unreadable, wrong_type
from queue_recovery.broker.run.selection import Selection
from queue_recovery.recovery.errors import Rejected
from queue_recovery.recovery.ports import Count, MessageName

_END = 500
"""Messages looked at for their tails from either end of a list: those that wait longest, and the newest retries."""

_SAMPLE = 3
"""Messages looked at from either end of a list."""

_FOREIGN_PREFIXES = {"rq:": "RQ", "dramatiq:": "Dramatiq"}
"""What the keys of other task queues begin with; their lists hold ids, which look like no envelope at all."""


async def depths(client: Client, layout: Layout, queues: Sequence[str]) -> tuple[Mapping[str, int], int]:
    """Return each queue's depth over the lists that the target declares, and the number of entries of `unacked`."""
    lists = {queue: list(layout.declared_lists(queue).values()) for queue in queues}
    *lengths, unacked = await client.lengths([key for keys in lists.values() for key in keys], [layout.unacked])
    rest = iter(lengths)
    return {queue: sum(next(rest) for _ in keys) for queue, keys in lists.items()}, unacked


async def check_keys(client: Client, layout: Layout, queue: str, *, take_unreadable: bool) -> None:
    """Refuse a queue whose keys cannot be Celery's, or, but for `take_unreadable`, of which nothing can be read.

    Raises:
        Rejected: `WrongKeyType`, `ForeignQueue`.
    """
    for prefix, program in _FOREIGN_PREFIXES.items():
        if layout.bare_list(queue).startswith(prefix):
            raise Rejected(
                Reason.FOREIGN_QUEUE,
                f"{layout.bare_list(queue)!r} is a key of {program}, not of Celery; name one of Celery's queues",
            )
    lists = list(layout.possible_lists(queue).values())
    expected = {**dict.fromkeys(lists, "list"), layout.unacked: "hash", layout.unacked_index: "zset"}
    kinds = await client.kinds(list(expected))
    for key, kind in kinds.items():
        if kind.type != expected[key]:
            raise wrong_type(key)
    await _check_messages(client, queue, [key for key in lists if key in kinds], take_unreadable=take_unreadable)


async def _check_messages(client: Client, queue: str, lists: Sequence[str], *, take_unreadable: bool) -> None:
    """Refuse a queue none of whose sampled messages is an envelope."""
    sample: list[object] = []
    for key in lists:
        found = [*await client.lrange(key, 0, _SAMPLE - 1), *await client.lrange(key, -_SAMPLE, -1)]
        sample += map(read_message, found)
        if any(map(is_envelope, sample)):
            return
    if sample and all(message is None for message in sample):
        if not take_unreadable:
            raise unreadable(queue)
    elif sample:
        raise Rejected(
            Reason.FOREIGN_QUEUE,
            f"what is in queue {queue!r} is JSON but no message of Celery (body, headers, properties), so the list "
            "belongs to another program; check the queue's name, the database in the URL and the target's "
            "transportOptions",
        )


async def count(
    client: Client,
    layout: Layout,
    queues: Collection[str],
    selection: Selection,
    names: int,
) -> Count:
    """Count the queues' messages, those that would be left, and the tails of those that would be taken.

    A list that is taken whole is read at its ends only, so that planning takes no longer the deeper the queue is. Of
    any other one as many messages count as were met: producers go on meanwhile, and a difference of two counts would
    hide what they shift.
    `names` says how many messages of either kind are named.

    Raises:
        Rejected: `SharedRoute`.
    """
    lengths = await _lengths(client, layout, queues)
    ready = sum(lengths.values())
    unacked = undecodable = leave = 0
    tails = TailCount()
    taken: list[MessageName] = []
    left: list[MessageName] = []
    left_ids: set[str] = set()
    are_retried = False

    def look(envelope: object) -> bool:
        """Tell whether a message would be taken."""
        nonlocal are_retried
        takes = selection.matches(envelope)
        named = taken if takes else left
        if len(named) < names:
            named.append(name_of(envelope))
        if takes:
            tails.look(envelope)
        else:
            of_job = selection.job_ids & {task_id(envelope) or ""}
            left_ids.update(of_job)
            are_retried = are_retried or bool(of_job and retries(envelope))
        return takes

    read = _at_ends if selection.takes_all else _in_lists
    met = 0
    async for portion in read(client, lengths):
        met += len(portion)
        leave += sum(not look(envelope) for envelope in portion)
    async for found in entries_of(client, layout, queues):
        if found.entry is None:
            undecodable += 1
            continue
        unacked += 1
        if look(found.entry.envelope):
            refuse_shared(found.entry, found.shared_with)
        else:
            leave += 1
    return Count(
        ready=ready if selection.takes_all else met,
        unacked=unacked,
        undecodable=undecodable,
        leave=leave,
        canvas=tails.total(),
        left_ids=frozenset(left_ids),
        are_retried=are_retried,
        taken=tuple(taken),
        left=tuple(left),
    )


async def queued_task_ids(
    client: Client, layout: Layout, queues: Collection[str], among: Collection[str]
) -> frozenset[str]:
    """Return which of these task ids have a message in the queues' lists or in `unacked`.

    A message in `unacked` that may be another queue's copy counts: its task may yet run.
    """
    wanted = frozenset(among)
    found: set[str] = set()
    if wanted:
        async for portion in _in_lists(client, await _lengths(client, layout, queues)):
            found |= wanted & {task_id(envelope) or "" for envelope in portion}
            if found == wanted:
                return wanted
        async for item in entries_of(client, layout, queues):
            if item.entry is not None:
                found |= wanted & {task_id(item.entry.envelope) or ""}
    return frozenset(found)


async def _lengths(client: Client, layout: Layout, queues: Collection[str]) -> Mapping[str, int]:
    lengths: dict[str, int] = {}
    for queue in queues:
        lists = list(layout.possible_lists(queue).values())
        lengths |= zip(lists, await client.lengths(lists, []), strict=True)
    return lengths


async def _in_lists(client: Client, lengths: Mapping[str, int]) -> AsyncIterator[Sequence[object]]:
    """Read the messages of lists, in portions; what is no JSON is None.

    Lists are read from their head by index, so that what is pushed meanwhile only moves messages into portions still to
    come: those that were read already are left out.
    """
    for key, length in lengths.items():
        first, portion = 0, Portion()
        before: list[int] = []
        while length and (messages := await client.lrange(key, first, first + portion.entries - 1)):
            hashes = list(map(hash, messages))
            shift = next((n for n in range(min(len(before), len(hashes)), 0, -1) if before[-n:] == hashes[:n]), 0)
            yield [read_message(message) for message in messages[shift:]]
            before = hashes
            first += len(messages)
            portion.note(list(map(size_of, messages)))


async def _at_ends(client: Client, lengths: Mapping[str, int]) -> AsyncIterator[Sequence[object]]:
    """Read the messages at both ends of lists, in portions; what is no JSON is None."""
    for key, length in lengths.items():
        ends = [range(length)] if length <= 2 * _END else [range(_END), range(length - _END, length)]
        portion = Portion()
        for end in ends:
            first = end.start
            while first < end.stop:
                messages = await client.lrange(key, first, min(first + portion.entries, end.stop) - 1)
                if not messages:
                    break  # consumed meanwhile
                yield [read_message(message) for message in messages]
                first += len(messages)
                portion.note(list(map(size_of, messages)))
