"""A run in a fake database, as `recovery.ports.QueueRun`."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import reduce
from operator import add

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Closed, HeldMessage, Restored, Run, SeenJob, Taken, Task, Unreplaced
from tests.recovery.fake_database import QUARANTINE, FakeDatabase, Record


class FakeRun:
    """A recovery's run in a fake database."""

    def __init__(self, database: FakeDatabase, runs: Sequence[Run]) -> None:
        """Store the database and the identities, one for each queue."""
        self._database = database
        self._runs = runs

    async def open(self) -> None:
        self._database.called("open")
        for run in self._runs:
            holder = self._database.locks.get(run.queue)
            if holder is not None and holder.run != run.uid:
                raise RecoveryError(Reason.LOCKED, f"{run.queue} is held by {holder.name}")
        for run in self._runs:
            self._database.lock(run)
            self._database.records.setdefault(run.uid, Record())
        self._open_records()

    async def freeze(self, seen: Mapping[str, Mapping[str, SeenJob | None]]) -> Mapping[str, SeenJob | None]:
        self._database.called("freeze")
        frozen: dict[str, SeenJob | None] = {}
        for run, record in self._open_records():
            for key, job in seen.get(run.queue, {}).items():
                frozen[key] = record.seen.setdefault(key, job)
        return frozen

    async def take(self, attempt: int = 1, frozen: Collection[str] = ()) -> Taken:
        del attempt
        self._database.called("take")
        self._database.frozen = [*frozen]
        for run, record in self._open_records():
            unrecoverable = {job.task_id for job in record.seen.values() if job and not job.recoverable and job.task_id}
            record.left = 0
            for lists, taken in (
                (self._database.queues, record.ready),
                (self._database.held_by_workers, record.unacked),
            ):
                messages = lists.get(run.queue, [])
                left = [one for one in messages if not one.matches(run.select) or one.task_id in unrecoverable]
                taken.extend(one for one in messages if one not in left)
                lists[run.queue] = left
                record.took_any |= bool(taken)
                record.left += len(left)
                record.left_ids |= {one.task_id for one in left}
            record.state, record.was_purged = "purged", True
        return self._taken()

    async def moved(self) -> int:
        self._database.called("moved")
        return sum(len(record.quarantine) + record.left for _, record in self._open_records())

    async def pass_boundary(self) -> None:
        self._database.called("pass_boundary")
        for _, record in self._open_records():
            record.state, record.was_purged = "purged", True

    async def pushed(self) -> frozenset[str]:
        self._database.called("pushed")
        return frozenset(key for _, record in self._open_records() for key in record.pushed)

    async def push(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        self._database.called("push")
        for run, record in self._open_records():
            for task in tasks.get(run.queue, []):
                if task.key not in record.pushed:
                    record.pushed[task.key] = task
                    self._database.add(task.task_id, queue=run.queue, task=task.task)

    async def restore(self) -> Restored:
        self._database.called("restore")
        for run, record in self._open_records():
            if run.restore is None or record.restored is not None:
                continue
            source = self._database.records[run.restore.uid]
            back = self._database.restored_by(run.restore)
            self._database.add(*(one.task_id for one in back), queue=run.queue)
            source.ready = [one for one in source.quarantine if one not in back]
            source.unacked = []
            record.restored = Restored(restored=len(back), left=len(source.quarantine))
        return reduce(add, [record.restored for _, record in self._open_records() if record.restored is not None])

    async def redeliver(self, messages: Sequence[HeldMessage]) -> None:
        self._database.called("redeliver")
        for run, record in self._open_records():
            if record.state != "purged":
                raise RecoveryError(Reason.BROKER_LOST_DATA, "no boundary was passed")
            held = self._database.held_by_workers.setdefault(run.queue, [])
            for message in messages:
                if message.queue != run.queue:
                    continue
                for one in [one for one in held if one.task_id.encode() == message.tag]:
                    held.remove(one)
                    self._database.queues.setdefault(run.queue, []).insert(0, one)
                    record.redelivered += 1

    async def redelivered(self) -> int:
        self._database.called("redelivered")
        return sum(record.redelivered for _, record in self._open_records())

    async def refuse(self) -> None:
        self._database.called("refuse")

    async def close(self) -> Closed:
        self._database.called("close")
        closed = []
        for run in self._runs:
            record = self._database.records.setdefault(run.uid, Record())
            record.state = "closed"
            queue = frozenset([run.queue])
            closed.append(
                Closed(
                    purged=queue if record.was_purged else frozenset(),
                    unpurged=frozenset() if record.was_purged else queue,
                    pushed=frozenset(record.pushed),
                    seen=frozenset(record.seen),
                    restored=record.restored,
                    lost=record.lost,
                    redelivered=record.redelivered,
                )
            )
        total = reduce(add, closed)
        return total + Closed(taken=self._taken()) if total.was_purged else total

    async def unreplaced(self) -> Unreplaced:
        self._database.called("unreplaced")
        records = [self._database.records[run.uid] for run in self._runs]
        seen = [(record, key, job) for record in records for key, job in record.seen.items()]
        replaced = {job.task_id for record, key, job in seen if job is not None and key in record.pushed}
        stored = [one for record in records for one in [*reversed(record.ready), *record.unacked]]
        messages = [one for one in stored if one.task_id not in replaced]
        return Unreplaced(count=len(messages), is_exact=True, first=tuple(one.name for one in messages))

    async def release(self, *, expires: datetime, retain: bool) -> None:
        self._database.called("release")
        for run in self._runs:
            record = self._database.records[run.uid]
            record.expires, record.retain = expires, retain
            if not retain:
                record.ready, record.unacked = [], []
            holder = self._database.locks.get(run.queue)
            if holder is not None and holder.run == run.uid:
                del self._database.locks[run.queue]

    def _open_records(self) -> list[tuple[Run, Record]]:
        found = [(run, self._database.records.get(run.uid)) for run in self._runs]
        if any(record is not None and record.state == "closed" for _, record in found):
            raise RecoveryError(Reason.ALREADY_CLOSED, "the run is closed")
        if any(record is None for _, record in found):
            raise RecoveryError(Reason.BROKER_LOST_DATA, "the run has no record")
        return [(run, record) for run, record in found if record is not None]

    def _taken(self) -> Taken:
        parts = [self._database.records[run.uid] for run in self._runs]
        return Taken(
            quarantine=f"{QUARANTINE} {self._runs[0].uid.partition('/')[0]}",
            ready=sum(len(part.ready) for part in parts),
            unacked=sum(len(part.unacked) for part in parts),
            undecodable=0,
            left=sum(part.left for part in parts),
            left_ids=frozenset().union(*(part.left_ids for part in parts)),
            seen={key: job for part in parts for key, job in part.seen.items()},
        )
