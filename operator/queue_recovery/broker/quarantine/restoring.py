"""Putting messages of an earlier recovery back: its quarantine is sorted as a taken list is (`keeping.py`).

What workers held is laid to the tail of the quarantine's lists first, the newest first, so that all is in the
order in which it would have been consumed. Then each list is sorted into what goes back and what stays, and what goes
back becomes the queue's list in one step. While the queue's lock is held, the sweeper leaves the quarantine alone
(`docs/decisions/0009-restored-messages-come-back-in-one-step.md`).
"""

from collections import Counter
from collections.abc import Mapping
from enum import Enum, auto

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.batches import MOST_ENTRIES, Bite, Portion
from queue_recovery.broker.connection.client import Client, Word
from queue_recovery.broker.connection.values import Value, size_of
from queue_recovery.broker.layout.envelope import (
    after_envelope,
    can_be_fresh,
    envelope_of,
    fresh,
    priority,
    read_entry,
    read_message,
    task_id,
)
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.broker.layout.own_keys import (
    TAKEN_FIELD,
    UNSORTED_FIELD,
    place_of,
    ready_ending,
    sweep_of,
    unacked_ending,
    unacked_index_ending,
)
from queue_recovery.broker.layout.unacked import Found, bites
from queue_recovery.broker.run.record import Record, read_open_record, read_record
from queue_recovery.broker.run.script import lost_data, run_script
from queue_recovery.broker.run.sorting import Judge, Verdict, bring_back
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import Rejected
from queue_recovery.recovery.ports import Restorable, Restore, Restored, Run


class Fate(Enum):
    """What becomes of a quarantined message, and why it stays."""

    GOES = auto()
    NOT_NAMED = auto()
    AGAIN = auto()
    """Its job was enqueued again."""
    UNFIT = auto()
    """It cannot be made new."""
    UNREADABLE = auto()
    """It cannot be cut out of its entry of `unacked`."""


class Choice:
    """Which messages go back."""

    def __init__(self, restore: Restore, earlier: Record) -> None:
        """Choose among the messages of an earlier run."""
        self.earlier = earlier
        self._task_ids = restore.task_ids
        self._not = earlier.enqueued_anew
        self._fresh = restore.as_new
        self.takes_all = restore.task_ids is None and not self._not and not restore.as_new

    def fate(self, message: Value) -> Fate:
        """Return what becomes of a message; one that cannot be read has no id, and cannot be made new."""
        if self.takes_all:
            return Fate.GOES
        chosen = self._chosen(read_message(message))
        if chosen is Fate.GOES and self._fresh and not (isinstance(message, bytes) and can_be_fresh(message)):
            return Fate.UNFIT
        return chosen

    def fate_of(self, entry: Value) -> Fate:
        """Return what becomes of the message of an entry of `unacked`; to go, it has to be possible to cut it out."""
        if isinstance(entry, bytes):
            message = envelope_of(entry)
            return Fate.UNREADABLE if message is None else self.fate(message)
        held = read_entry(entry)
        if held is None:
            return Fate.UNREADABLE
        chosen = Fate.GOES if self.takes_all else self._chosen(held.envelope)
        return Fate.UNFIT if chosen is Fate.GOES and self._fresh else chosen

    def goes(self, message: Value) -> bool:
        """Tell whether a message goes back."""
        return self.fate(message) is Fate.GOES

    def goes_of(self, entry: Value) -> bool:
        """Tell whether the message of an entry of `unacked` goes back."""
        return self.fate_of(entry) is Fate.GOES

    def _chosen(self, envelope: object) -> Fate:
        name = task_id(envelope)
        if self._task_ids is not None:
            return Fate.GOES if name in self._task_ids else Fate.NOT_NAMED
        return Fate.AGAIN if name in self._not else Fate.GOES


async def restorable(client: Client, layout: Layout, queue: str, restore: Restore) -> Restorable:
    """Count what is in the quarantine, and what of it would go back."""
    earlier = await read_record(client, restore.uid)
    if earlier is None:
        raise Rejected(
            Reason.NOTHING_TO_RESTORE,
            "the broker knows nothing of the earlier recovery; check that the target's Secret still names the server "
            "and the database that it worked on, and that its globalKeyPrefix is the same",
        )
    if earlier.fields.get("list") != layout.bare_list(queue):
        raise Rejected(
            Reason.RECOVERY_OF_ANOTHER_QUEUE,
            f"the earlier recovery took its messages from the list {earlier.fields.get('list')!r}, and queue "
            f"{queue!r} is {layout.bare_list(queue)!r} now; create a recovery of that queue, or correct "
            "the target's globalKeyPrefix",
        )
    choice = Choice(restore, earlier)
    lists, hashes = _parts(earlier)
    found = sum(await client.lengths([earlier.key(one) for one in lists], [earlier.key(one) for one in hashes]))
    if choice.takes_all:
        return Restorable(found=found, restore=found)
    fates: Counter[Fate] = Counter()
    for ending in lists:
        first, portion = 0, Portion()
        while messages := await client.lrange(earlier.key(ending), first, first + portion.entries - 1):
            fates.update(map(choice.fate, messages))
            first += len(messages)
            portion.note(list(map(size_of, messages)))
    for ending in hashes:
        async for entries in client.scan_hash(earlier.key(ending)):
            fates.update(choice.fate_of(value) for _, value in entries)
    return Restorable(
        found=found, restore=min(fates[Fate.GOES], found), again=fates[Fate.AGAIN], unfit=fates[Fate.UNFIT]
    )


async def restore(client: Client, layout: Layout, run: Run) -> Restored:
    """Put the chosen messages back; goes on where an earlier call stopped."""
    record = await read_open_record(client, run.uid)
    if run.restore is None or record.earlier is None:
        raise lost_data()
    earlier = await read_record(client, record.earlier)
    if earlier is None:
        raise lost_data()
    choice = Choice(run.restore, earlier)
    if record.fields["state"] == "preparing":
        for ending in _parts(earlier)[1]:
            await _lay(client, layout, run, sweep_of(ending), choice)
        await _stage(client, run, earlier.uid)
    await bring_back(client, layout, run, _chooses(run, choice))
    return (await read_open_record(client, run.uid)).restored


def _chooses(run: Run, choice: Choice) -> Judge:
    as_new = run.restore is not None and run.restore.as_new

    def judge(message: Value, place: str) -> Verdict:
        if not choice.goes(message):
            return Verdict(stays=True)
        instead = fresh(message, run.uid, place) if as_new and isinstance(message, bytes) else None
        return Verdict(stays=False, instead=instead)

    return judge


async def _lay(client: Client, layout: Layout, run: Run, sweep: int, choice: Choice) -> None:
    """Lay what workers held of one sweep to the tail of the quarantine's lists, the newest first.

    What stays in the quarantine stays as it is, and is passed over by its rank; when another process has laid some
    too, the ranks are counted again. Entries without a time come last: nobody can tell how old they are.
    """
    earlier = choice.earlier
    entries, times = earlier.key(unacked_ending(sweep)), earlier.key(unacked_index_ending(sweep))
    bite = await Bite.of(client.ping)

    async def lay(found: Mapping[bytes, Value]) -> int:
        """Lay the chosen ones of some entries; return how many those are."""
        chosen = {tag: entry for tag, entry in found.items() if choice.goes_of(entry)}
        for tags in bites([Found(tag, size_of(entry), None) for tag, entry in chosen.items()], bite):
            places = {tag: layout.step(_priority(chosen[tag])) for tag in tags}
            endings = [ready_ending(sweep, of) for of in sorted(set(places.values()))]
            keys = [client.own.run(run.uid), client.own.run(earlier.uid), entries, times, *map(earlier.key, endings)]
            words: list[Word] = [run.uid, len(endings), *(TAKEN_FIELD + ending for ending in endings)]
            for tag in tags:
                after = after_envelope(chosen[tag]) or 0
                words += [tag, endings.index(ready_ending(sweep, places[tag])) + 1, after]
            with bite.timed():
                await run_script(client, Script.PUT_BACK_UNACKED, keys, words)
        return len(chosen)

    (count,) = await client.lengths([], [entries])
    first = 0
    while tags := await client.by_rank(times, first, first + MOST_ENTRIES - 1):
        values = await client.values(entries, tags)  # of the first of them, as many as fit into one reply
        tags = tags[: len(values)]
        moved = await lay({tag: entry for tag, entry in zip(tags, values, strict=True) if entry is not None})
        (left,) = await client.lengths([], [entries])
        first = first + len(tags) - moved if left == count - moved else 0
        count = left
    async for portion in client.scan_hash(entries):
        await lay({tag: entry for tag, entry in portion if tag is not None})


def _priority(entry: Value) -> int:
    """Return the priority of the message of an entry of `unacked`."""
    held = read_entry(entry)
    return priority(held.envelope if held else None)


async def _stage(client: Client, run: Run, uid: str) -> None:
    """Say how much there is to be sorted. Each priority has a list of the first sweep, if only an empty one."""
    earlier = await read_record(client, uid)
    if earlier is None:
        raise lost_data()
    lists, hashes = _parts(earlier)
    lists = sorted({*lists, *(ready_ending(1, place_of(ending)[1]) for ending in lists)})
    keys = [client.own.run(run.uid), client.own.run(uid), *(earlier.key(ending) for ending in [*lists, *hashes])]
    fields = [field + ending for ending in lists for field in (UNSORTED_FIELD, TAKEN_FIELD)]
    words: list[Word] = [run.uid, len(lists), *fields, *(TAKEN_FIELD + ending for ending in hashes)]
    await run_script(client, Script.STAGE, keys, words)


def _parts(earlier: Record) -> tuple[list[str], list[str]]:
    """Return what the keys of the quarantine's lists, and those of its hashes, end with."""
    endings = sorted(earlier.quarantined)
    hashes = [ending for ending in endings if ending.endswith(":unacked")]
    return [ending for ending in endings if ending not in hashes], hashes
