"""Close a run: no more is taken or enqueued for it, and what it was about to give back is given back."""

from queue_recovery.broker.connection.values import size_of
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.own_keys import TAKEN_FIELD, unacked_ending
from queue_recovery.broker.layout.unacked import Found, batches
from queue_recovery.broker.run.record import read_record
from queue_recovery.broker.run.script import forged, run_script
from queue_recovery.broker.run.sorting import return_left, return_restored, stays
from queue_recovery.broker.run.taking import unacked_keys
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Closed, Run


async def close(db: Database, run: Run) -> Closed:
    """Close a run; continues where an earlier call stopped, and returns the same again."""
    answer = await _send(db, run, given_back=False)
    if answer[0] == b"RETURNING":
        await _return_lists(db, run)
        answer = await _send(db, run, given_back=False)
    if answer[0] == b"CLOSING":
        await _give_back_unacked(db, run)
        answer = await _send(db, run, given_back=True)
    if answer[0] != b"CLOSED":
        raise forged(db.own.run(run.uid))
    was_purged = answer[1] == b"1"
    queue = frozenset({run.queue})
    record = await read_record(db, run.uid)
    return Closed(
        purged=queue if was_purged else frozenset(),
        unpurged=frozenset() if was_purged else queue,
        taken=record.taken if record and was_purged else None,
        pushed=record.pushed if record else frozenset(),
        seen=record.seen if record else frozenset(),
        restored=record.restored if record and record.earlier and was_purged else None,
        lost=record.lost if record else 0,
        redelivered=record.redelivered if record else 0,
    )


async def refuse(db: Database, run: Run) -> None:
    """Refuse any process that still takes messages for this run; `close` must follow."""
    await _send(db, run, given_back=False)


async def _send(db: Database, run: Run, *, given_back: bool) -> list[bytes]:
    ending = unacked_ending(1)
    keys = [db.own.run(run.uid), db.own.quarantine(run.uid, ending)]
    identity = [run.uid, run.name, run.cluster, db.layout.bare_list(run.queue)]
    return await run_script(db, Script.CLOSE, keys, [*identity, TAKEN_FIELD + ending, int(given_back)])


async def _return_lists(db: Database, run: Run) -> None:
    """Return the messages of lists that are to be left; of a restore, those that are sorted already.

    What the broker has lost of these lists is written off.
    """
    record = await read_record(db, run.uid)
    if record is not None and record.earlier is not None:
        await return_restored(db, run, stays)
    else:
        await return_left(db, run)


async def _give_back_unacked(db: Database, run: Run) -> None:
    """Move the `unacked` entries of a run that had not passed its boundary back where they were.

    An entry whose delivery tag is in use again stays in the quarantine.
    """
    keys = unacked_keys(db, run, 1)
    async for portion in db.client.scan_hash(db.own.quarantine(run.uid, unacked_ending(1))):
        entries = [Found(tag, size_of(value), None) for tag, value in portion if tag is not None]
        for tags in batches(entries):
            await run_script(db, Script.GIVE_BACK_UNACKED, keys, [run.uid, *tags])
