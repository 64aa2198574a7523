"""Count what is in the quarantine of an earlier recovery, and what of it would be restored."""

from collections import Counter

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.connection.batches import PageSize
from queue_recovery.broker.connection.values import size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.quarantine.choice import Choice, Fate
from queue_recovery.broker.run.record import read_record
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Restorable, Restore


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
    for ending in lists:
        first, page = 0, PageSize()
        while messages := await db.client.lrange(earlier.key(ending), first, first + page.entries - 1):
            fates.update(map(choice.fate, messages))
            first += len(messages)
            page.note(list(map(size_of, messages)))
    for ending in hashes:
        async for entries in db.client.scan_hash(earlier.key(ending)):
            fates.update(choice.fate_of_entry(value) for _, value in entries)
    return Restorable(
        found=found,
        restore=min(fates[Fate.RESTORED], found),
        again=fates[Fate.ENQUEUED_AGAIN],
        unfit=fates[Fate.UNFIT],
        took_any=took_any,
    )
