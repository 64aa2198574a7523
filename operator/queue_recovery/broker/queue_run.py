"""A recovery's run: what it does to its queues, one queue after the other unless all change in one step."""

import operator
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import reduce

from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.quarantine.restoring import restore
from queue_recovery.broker.quarantine.unreplaced import unreplaced
from queue_recovery.broker.run.closing import close, refuse
from queue_recovery.broker.run.freezing import freeze
from queue_recovery.broker.run.locks import open_runs, release
from queue_recovery.broker.run.publisher import Publisher
from queue_recovery.broker.run.pushing import push
from queue_recovery.broker.run.record import read_open_record
from queue_recovery.broker.run.redelivering import redeliver
from queue_recovery.broker.run.taking import pass_boundary, take
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Closed, HeldMessage, Restored, Run, SeenJob, Taken, Task, Unreplaced


class RedisQueueRun:
    """Implements `recovery.ports.QueueRun`, for one queue or several.

    Each queue has a run of its own (`docs/decisions/0008-one-run-for-each-queue.md`).
    """

    def __init__(self, database: Database, runs: Sequence[Run], publisher: Publisher) -> None:
        """Store the database, the identity of the run of each queue, and what builds messages."""
        self._database = database
        self._runs = {run.queue: run for run in runs}
        self._publisher = publisher

    async def open(self) -> None:
        """See `ports.QueueRun`."""
        await open_runs(self._database, list(self._runs.values()))

    async def freeze(self, seen: Mapping[str, Mapping[str, SeenJob | None]]) -> Mapping[str, SeenJob | None]:
        """See `ports.QueueRun`."""
        frozen: dict[str, SeenJob | None] = {}
        for queue, jobs in seen.items():
            frozen |= await freeze(self._database, self._runs[queue], jobs)
        return frozen

    async def take(self, attempt: int = 1, frozen: Collection[str] = ()) -> Taken:
        """See `ports.QueueRun`."""
        return await take(self._database, list(self._runs.values()), attempt, frozen)

    async def moved(self) -> int:
        """See `ports.QueueRun`."""
        return sum([(await read_open_record(self._database, run.uid)).moved for run in self._runs.values()])

    async def pass_boundary(self) -> None:
        """See `ports.QueueRun`."""
        for run in self._runs.values():
            await pass_boundary(self._database, run, {})

    async def pushed(self) -> frozenset[str]:
        """See `ports.QueueRun`."""
        records = [await read_open_record(self._database, run.uid) for run in self._runs.values()]
        return frozenset[str]().union(*(record.pushed for record in records))

    async def push(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        """See `ports.QueueRun`."""
        for queue, own in tasks.items():
            await push(self._database, self._publisher, self._runs[queue], own)

    async def restore(self) -> Restored:
        """See `ports.QueueRun`."""
        restored = [await restore(self._database, run) for run in self._runs.values()]
        return reduce(operator.add, restored)

    async def redeliver(self, messages: Sequence[HeldMessage]) -> None:
        """See `ports.QueueRun`."""
        by_queue: dict[str, list[HeldMessage]] = {}
        for one in messages:
            by_queue.setdefault(one.queue, []).append(one)
        for queue, own in by_queue.items():
            await redeliver(self._database, self._runs[queue], own)

    async def redelivered(self) -> int:
        """See `ports.QueueRun`."""
        return sum([(await read_open_record(self._database, run.uid)).redelivered for run in self._runs.values()])

    async def refuse(self) -> None:
        """See `ports.QueueRun`."""
        errors: list[RecoveryError] = []
        for run in self._runs.values():
            try:
                await refuse(self._database, run)
            except RecoveryError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    async def close(self) -> Closed:
        """See `ports.QueueRun`."""
        closed = [await close(self._database, run) for run in self._runs.values()]
        return reduce(operator.add, closed, Closed())

    async def unreplaced(self) -> Unreplaced:
        """See `ports.QueueRun`."""
        return await unreplaced(self._database, list(self._runs.values()))

    async def release(self, *, expires: datetime, retain: bool) -> None:
        """See `ports.QueueRun`."""
        for run in self._runs.values():
            await release(self._database, run, expires=expires, retain=retain)
