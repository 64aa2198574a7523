"""Count what is in the quarantine of an earlier recovery, and what of it would be restored."""

from collections import Counter
from collections.abc import AsyncIterator

from queue_recovery.api.reasons import Reason
from queue_recovery.api.select import LONGEST_TASK_ID
from queue_recovery.broker.connection.batches import PageSize
from queue_recovery.broker.connection.values import Value, size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import read_entry, read_message
from queue_recovery.broker.layout.headers import task_id
from queue_recovery.broker.quarantine.choice import Choice, Fate
from queue_recovery.broker.run.record import read_record
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Restorable, Restore
from queue_recovery.recovery.ports.run import MOST_AGAIN_IDS


async def restorable(db: Database, queue: str, restore: Restore) -> Restorable:
    """Count what is in the quarantine, and what of it would be restored.

    Raises:
        RecoveryError: `NothingToRestore`, `RecoveryOfAnotherQueue`.
    """
    earlier = await read_record(db, restore.uid)
    if earlier is None:
        raise RecoveryError(
            Reason.NOTHING_TO_RESTORE,
            "the broker knows nothing of the earlier recovery; check that the target's Secret still names the server "
            "and the database that it worked on, and that its globalKeyPrefix is the same",
        )
    bare_list = earlier.fields.get("list")
    if bare_list != db.layout.bare_list(queue):
        raise RecoveryError(
            Reason.RECOVERY_OF_ANOTHER_QUEUE,
            f'the earlier recovery took its messages from the list "{bare_list}", and queue "{queue}" is '
            f'"{db.layout.bare_list(queue)}" now; create a recovery of that queue, or correct the target\'s '
            "globalKeyPrefix",
        )
    took_any = any(earlier.quarantined.values())
    choice = Choice(restore, earlier)
    lists, hashes = earlier.quarantined_lists, earlier.quarantined_hashes
    found = sum(await db.client.lengths(list(map(earlier.key, lists)), list(map(earlier.key, hashes))))
    if choice.takes_all:
        return Restorable(found=found, restore=found, took_any=took_any)
    fates: Counter[Fate] = Counter()
    again_ids: list[str] = []
    async for fate, value, is_entry in _fates(db, choice):
        fates[fate] += 1
        if fate is Fate.ENQUEUED_AGAIN and len(again_ids) < MOST_AGAIN_IDS:
            again_ids += _nameable(value, is_entry=is_entry)
    return Restorable(
        found=found,
        restore=min(fates[Fate.RESTORED], found),
        again=fates[Fate.ENQUEUED_AGAIN],
        again_ids=tuple(again_ids),
        unfit=fates[Fate.UNFIT],
        took_any=took_any,
    )


async def _fates(db: Database, choice: Choice) -> AsyncIterator[tuple[Fate, Value, bool]]:
    """Yield what happens to each message, the message, and whether it is in an entry of `unacked`."""
    earlier = choice.earlier
    for ending in earlier.quarantined_lists:
        first, page = 0, PageSize()
        while messages := await db.client.lrange(earlier.key(ending), first, first + page.entries - 1):
            for message in messages:
                yield choice.fate(message), message, False
            first += len(messages)
            page.note(list(map(size_of, messages)))
    for ending in earlier.quarantined_hashes:
        async for entries in db.client.scan_hash(earlier.key(ending)):
            for _, value in entries:
                yield choice.fate_of_entry(value), value, True


def _nameable(value: Value, *, is_entry: bool) -> list[str]:
    """Return the task id, if it is short enough to be named in a spec."""
    entry = read_entry(value) if is_entry else None
    name = task_id(entry.envelope if entry else read_message(value))
    return [name] if name and len(name) <= LONGEST_TASK_ID else []
