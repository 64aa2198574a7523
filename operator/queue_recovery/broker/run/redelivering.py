"""Give messages in `unacked` back to their queues, in batches; each is checked again in the step that moves it."""

from collections.abc import Iterator, Sequence

from queue_recovery.broker.connection.batches import fitting
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.run.script import run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import HeldMessage, Run


async def redeliver(db: Database, run: Run, messages: Sequence[HeldMessage]) -> None:
    """Give messages of a run's queue back, those that are to be consumed last first.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`.
    """
    for batch in _batches(messages):
        lists = [db.layout.list_of(run.queue, db.layout.step(one.priority)) for one in batch]
        names = sorted(set(lists))
        words: list[Word] = [run.uid]
        for one, key in zip(batch, lists, strict=True):
            words += [one.tag, one.time, names.index(key) + 1, one.after]
        keys = [db.own.run(run.uid), db.layout.unacked, db.layout.unacked_index, *names]
        await run_script(db, Script.REDELIVER, keys, words)


def _batches(messages: Sequence[HeldMessage]) -> Iterator[Sequence[HeldMessage]]:
    rest = messages
    while rest:
        count = fitting(one.size for one in rest)
        yield rest[:count]
        rest = rest[count:]
