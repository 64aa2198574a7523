"""Queues in memory, as `recovery.ports.Broker` and `QueueRun`."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from operator import add
from typing import Literal

from queue_recovery.api.reasons import Reason
from queue_recovery.api.select import PurgeSelect
from queue_recovery.recovery.errors import NotYet, Rejected
from queue_recovery.recovery.ports import (
    BrokerHealth,
    Closed,
    Consumer,
    Count,
    Held,
    Holder,
    MessageName,
    QuarantinedHeaders,
    QueueRun,
    Restorable,
    Restore,
    Restored,
    Run,
    SeenJob,
    Taken,
    Task,
    Unacked,
    Unlisted,
    Unreplaced,
)
from tests.recovery.faults import Faults

TASK = "tts.render"
QUARANTINE = "quarantine of"


@dataclass(frozen=True)
class Message:
    """A message of a queue."""

    task_id: str
    task: str = TASK

    @property
    def name(self) -> MessageName:
        """The message as people see it."""
        return MessageName(task_id=self.task_id, task=self.task)

    def matches(self, select: PurgeSelect | None) -> bool:
        """Tell whether a selection takes this message."""
        if select is None:
            return True
        return (select.tasks is None or self.task in select.tasks) and (
            select.task_ids is None or self.task_id in select.task_ids
        )


@dataclass
class Record:
    """What the broker stores of a run of one queue."""

    state: Literal["preparing", "purged", "closed"] = "preparing"
    was_purged: bool = False
    ready: list[Message] = field(default_factory=list)
    unacked: list[Message] = field(default_factory=list)
    left_ids: frozenset[str] = frozenset()
    left: int = 0
    seen: dict[str, SeenJob | None] = field(default_factory=dict)
    pushed: dict[str, Task] = field(default_factory=dict)
    restored: Restored | None = None
    expires: datetime | None = None
    retain: bool | None = None
    """Whether the quarantine was retained at the release; None: it was not released."""

    @property
    def quarantine(self) -> list[Message]:
        """The messages in the quarantine."""
        return [*self.ready, *self.unacked]


class FakeBroker(Faults):
    """Lists of messages by queue, and those that workers hold."""

    unverified = None

    def __init__(self, log: list[str] | None = None) -> None:
        """Begin with an empty database."""
        super().__init__(log)
        self.queues: dict[str, list[Message]] = {}
        self.held: dict[str, list[Message]] = {}
        self.locks: dict[str, Holder] = {}
        self.records: dict[str, Record] = {}
        """By the uid of the run."""
        self.connections: list[Consumer] = []
        self.frozen: list[str] = []
        """The keys of the frozen jobs, as the last `take` named them."""

    def add(self, *task_ids: str, queue: str = "tts", task: str = TASK, held: bool = False) -> None:
        """Enqueue messages; with `held` a worker holds them in `unacked`."""
        lists = self.held if held else self.queues
        lists.setdefault(queue, []).extend(Message(task_id, task) for task_id in task_ids)

    def queued(self, queue: str = "tts") -> list[str]:
        """Return the task ids in a queue's list, the oldest first."""
        return [message.task_id for message in self.queues.get(queue, [])]

    def lock(self, run: Run) -> None:
        """Let a recovery hold the lock of a queue."""
        self.locks[run.queue] = Holder(
            uid=run.uid.partition("/")[0],
            name=run.name,
            run=run.uid,
            cluster=run.cluster,
            cluster_uid=run.cluster_uid,
            retention_seconds=run.retention_seconds,
            lock=f"lock of {run.queue}",
            quarantine=f"{QUARANTINE} {run.uid}",
        )

    def lose_data(self) -> None:
        """Lose everything, as a server without persistence does when it is restarted."""
        for stored in (self.queues, self.held, self.locks, self.records):
            stored.clear()

    async def check(self) -> BrokerHealth:
        self._called("check")
        return BrokerHealth(eviction_policy="noeviction")

    async def depths(self, queues: Sequence[str]) -> tuple[Mapping[str, int], int]:
        return {queue: len(self.queued(queue)) for queue in queues}, sum(map(len, self.held.values()))

    async def unacked(self, queues: Collection[str]) -> Unacked:
        held = {queue: Held(count=len(self.held.get(queue, [])), since=None) for queue in queues}
        return Unacked(total=sum(map(len, self.held.values())), queues=held, not_counted=0)

    async def check_queue(self, queue: str, *, take_unreadable: bool = False) -> None:
        del queue, take_unreadable
        self._called("check_queue")

    async def unlisted(self, listed: Collection[str]) -> Unlisted:
        names = sorted(queue for queue, messages in self.queues.items() if messages and queue not in listed)
        return Unlisted(names=names, total=len(names))

    async def count(
        self, *queues: str, select: PurgeSelect | None = None, jobs: Iterable[SeenJob] = (), names: int = 0
    ) -> Count:
        self._called("count")
        unrecoverable = {job.task_id for job in jobs if not job.recoverable and job.task_id}
        ready = [message for queue in queues for message in self.queues.get(queue, [])]
        unacked = [message for queue in queues for message in self.held.get(queue, [])]
        left = [one for one in [*ready, *unacked] if not one.matches(select) or one.task_id in unrecoverable]
        taken = [one for one in [*ready, *unacked] if one not in left]
        return Count(
            ready=len(ready),
            unacked=len(unacked),
            undecodable=0,
            leave=len(left),
            left_ids=frozenset(one.task_id for one in left),
            taken=[one.name for one in taken[:names]],
            left=[one.name for one in left[:names]],
        )

    async def queued_task_ids(self, among: Collection[str], *queues: str) -> frozenset[str]:
        self._called("queued_task_ids")
        lists = [self.queues, self.held]
        there = {one.task_id for queue in queues for stored in lists for one in stored.get(queue, [])}
        return frozenset(there.intersection(among))

    async def consumers(self) -> Sequence[Consumer]:
        self._called("consumers")
        return self.connections

    async def holders(self, *queues: str) -> Mapping[str, Holder]:
        self._called("holders")
        return {queue: self.locks[queue] for queue in queues if queue in self.locks}

    def run(self, *runs: Run) -> QueueRun:
        return FakeRun(self, runs)

    async def restorable(self, queue: str, restore: Restore) -> Restorable:
        del queue
        self._called("restorable")
        return Restorable(found=len(self.records[restore.uid].quarantine), restore=len(self.restored_by(restore)))

    async def first_restorable(self, restore: Restore, most: int) -> Sequence[QuarantinedHeaders]:
        return [
            QuarantinedHeaders(task_id=one.task_id, task=one.task, retries=0, job=None, size=100)
            for one in self.restored_by(restore)[:most]
        ]

    async def aclose(self) -> None:
        self._called("aclose")

    def restored_by(self, restore: Restore) -> list[Message]:
        """Return the messages that a restore would put back."""
        quarantine = self.records[restore.uid].quarantine
        return [one for one in quarantine if restore.task_ids is None or one.task_id in restore.task_ids]

    def called(self, method: str) -> None:
        """Record a call of a run."""
        self._called(method)


class FakeRun:
    """A recovery's run in a fake broker."""

    def __init__(self, broker: FakeBroker, runs: Sequence[Run]) -> None:
        """Store the broker and the identities, one for each queue."""
        self._broker = broker
        self._runs = runs

    async def open(self) -> None:
        self._broker.called("open")
        for run in self._runs:
            holder = self._broker.locks.get(run.queue)
            if holder is not None and holder.run != run.uid:
                raise NotYet(Reason.LOCKED, f"{run.queue} is held by {holder.name}")
        for run in self._runs:
            self._broker.lock(run)
            self._broker.records.setdefault(run.uid, Record())
        self._open_records()

    async def freeze(self, seen: Mapping[str, Mapping[str, SeenJob | None]]) -> Mapping[str, SeenJob | None]:
        self._broker.called("freeze")
        frozen: dict[str, SeenJob | None] = {}
        for run, record in self._open_records():
            for key, job in seen.get(run.queue, {}).items():
                frozen[key] = record.seen.setdefault(key, job)
        return frozen

    async def take(self, attempt: int = 1, frozen: Collection[str] = ()) -> Taken:
        del attempt
        self._broker.called("take")
        self._broker.frozen = [*frozen]
        for run, record in self._open_records():
            unrecoverable = {job.task_id for job in record.seen.values() if job and not job.recoverable and job.task_id}
            record.left = 0
            for lists, taken in ((self._broker.queues, record.ready), (self._broker.held, record.unacked)):
                messages = lists.get(run.queue, [])
                left = [one for one in messages if not one.matches(run.select) or one.task_id in unrecoverable]
                taken.extend(one for one in messages if one not in left)
                lists[run.queue] = left
                record.left += len(left)
                record.left_ids |= {one.task_id for one in left}
            record.state, record.was_purged = "purged", True
        return self._taken()

    async def moved(self) -> int:
        return sum(len(record.quarantine) + record.left for _, record in self._open_records())

    async def pass_boundary(self) -> None:
        self._broker.called("pass_boundary")
        for _, record in self._open_records():
            record.state, record.was_purged = "purged", True

    async def pushed(self) -> frozenset[str]:
        self._broker.called("pushed")
        return frozenset(key for _, record in self._open_records() for key in record.pushed)

    async def push(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        self._broker.called("push")
        for run, record in self._open_records():
            for task in tasks.get(run.queue, []):
                if task.key not in record.pushed:
                    record.pushed[task.key] = task
                    self._broker.add(task.task_id, queue=run.queue, task=task.task)

    async def restore(self) -> Restored:
        self._broker.called("restore")
        for run, record in self._open_records():
            if run.restore is None or record.restored is not None:
                continue
            source = self._broker.records[run.restore.uid]
            back = self._broker.restored_by(run.restore)
            self._broker.add(*(one.task_id for one in back), queue=run.queue)
            source.ready = [one for one in source.quarantine if one not in back]
            source.unacked = []
            record.restored = Restored(restored=len(back), left=len(source.quarantine))
        return reduce(add, [record.restored for _, record in self._open_records() if record.restored is not None])

    async def refuse(self) -> None:
        self._broker.called("refuse")

    async def close(self) -> Closed:
        self._broker.called("close")
        closed = []
        for run in self._runs:
            record = self._broker.records.setdefault(run.uid, Record())
            record.state = "closed"
            queue = frozenset([run.queue])
            closed.append(
                Closed(
                    purged=queue if record.was_purged else frozenset(),
                    unpurged=frozenset() if record.was_purged else queue,
                    pushed=frozenset(record.pushed),
                    seen=frozenset(record.seen),
                    restored=record.restored,
                )
            )
        total = reduce(add, closed)
        return total + Closed(taken=self._taken()) if total.was_purged else total

    async def unreplaced(self) -> Unreplaced:
        self._broker.called("unreplaced")
        records = [self._broker.records[run.uid] for run in self._runs]
        seen = [(record, key, job) for record in records for key, job in record.seen.items()]
        replaced = {job.task_id for record, key, job in seen if job is not None and key in record.pushed}
        stored = [one for record in records for one in [*reversed(record.ready), *record.unacked]]
        messages = [one for one in stored if one.task_id not in replaced]
        return Unreplaced(count=len(messages), is_exact=True, first=tuple(one.name for one in messages))

    async def release(self, *, expires: datetime, retain: bool) -> None:
        self._broker.called("release")
        for run in self._runs:
            record = self._broker.records[run.uid]
            record.expires, record.retain = expires, retain
            if not retain:
                record.ready, record.unacked = [], []
            holder = self._broker.locks.get(run.queue)
            if holder is not None and holder.run == run.uid:
                del self._broker.locks[run.queue]

    def _open_records(self) -> list[tuple[Run, Record]]:
        found = [(run, self._broker.records.get(run.uid)) for run in self._runs]
        if any(record is not None and record.state == "closed" for _, record in found):
            raise Rejected(Reason.ALREADY_CLOSED, "the run is closed")
        if any(record is None for _, record in found):
            raise Rejected(Reason.BROKER_LOST_DATA, "the run has no record")
        return [(run, record) for run, record in found if record is not None]

    def _taken(self) -> Taken:
        parts = [self._broker.records[run.uid] for run in self._runs]
        return Taken(
            quarantine=f"{QUARANTINE} {self._runs[0].uid.partition('/')[0]}",
            ready=sum(len(part.ready) for part in parts),
            unacked=sum(len(part.unacked) for part in parts),
            undecodable=0,
            left=sum(part.left for part in parts),
            left_ids=frozenset().union(*(part.left_ids for part in parts)),
            seen={key: job for part in parts for key, job in part.seen.items()},
        )
