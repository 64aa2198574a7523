"""Queues in memory, as `recovery.ports.Broker`."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

from queue_recovery.api.select import PurgeSelect
from queue_recovery.diagnosis.stuck_evidence import Tail
from queue_recovery.recovery.ports import (
    BrokerHealth,
    Consumer,
    Count,
    Held,
    HeldMessage,
    Holder,
    ListEnd,
    QuarantinedHeaders,
    QueueEnds,
    QueueRun,
    Restorable,
    Restore,
    Run,
    SeenJob,
    Unacked,
    Unlisted,
)
from tests.recovery.fake_database import FakeDatabase
from tests.recovery.fake_run import FakeRun


class FakeBroker(FakeDatabase):
    """A broker on a database in memory; a test changes the database itself."""

    unverified = None
    after = b""
    """What follows the message in each entry of `unacked`."""

    async def check(self) -> BrokerHealth:
        self._called("check")
        return BrokerHealth(eviction_policy="noeviction", uptime_seconds=self.uptime_seconds)

    async def depths(self, queues: Sequence[str]) -> tuple[Mapping[str, int], int]:
        self._called("depths")
        return {queue: len(self.queued(queue)) for queue in queues}, sum(map(len, self.held_by_workers.values()))

    async def unacked(self, queues: Collection[str]) -> Unacked:
        self._called("unacked")
        held = {
            queue: Held(
                count=len(self.held_by_workers.get(queue, [])), since=None, sightings=self.sightings.get(queue, ())
            )
            for queue in queues
        }
        return Unacked(total=sum(map(len, self.held_by_workers.values())), queues=held, not_counted=0)

    async def next_messages(self, queues: Sequence[str]) -> Mapping[str, Mapping[int, Tail]]:
        self._called("next_messages")
        waiting = {queue: self.queued(queue) for queue in queues}
        return {queue: {0: Tail(next=ids[0].encode())} for queue, ids in waiting.items() if ids}

    async def check_queue(self, queue: str, *, take_unreadable: bool = False) -> None:
        del queue, take_unreadable
        self._called("check_queue")

    async def unlisted(self, listed: Collection[str]) -> Unlisted:
        self._called("unlisted")
        names = sorted(queue for queue, messages in self.queues.items() if messages and queue not in listed)
        return Unlisted(names=names, total=len(names))

    async def count(
        self, *queues: str, select: PurgeSelect | None = None, jobs: Iterable[SeenJob] = (), names: int = 0
    ) -> Count:
        self._called("count")
        unrecoverable = {job.task_id for job in jobs if not job.recoverable and job.task_id}
        ready = [message for queue in queues for message in self.queues.get(queue, [])]
        unacked = [message for queue in queues for message in self.held_by_workers.get(queue, [])]
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
            facts=tuple(self.facts),
        )

    async def queued_task_ids(self, among: Collection[str], *queues: str) -> frozenset[str]:
        self._called("queued_task_ids")
        lists = [self.queues, self.held_by_workers]
        there = {one.task_id for queue in queues for stored in lists for one in stored.get(queue, [])}
        return frozenset(there.intersection(among))

    async def held(self, *queues: str) -> AsyncIterator[Sequence[HeldMessage]]:
        self._called("held")
        found = [(queue, one) for queue in queues for one in self.held_by_workers.get(queue, [])]
        found.sort(key=lambda pair: self.delivered.get(pair[1].task_id, 0.0), reverse=True)
        for queue, one in found:
            delivered = self.delivered.get(one.task_id)
            yield [
                HeldMessage(
                    queue=queue,
                    delivered=delivered,
                    tag=one.task_id.encode(),
                    time=str(delivered).encode(),
                    priority=0,
                    after=self.after,
                    size=100,
                )
            ]

    async def ends(self, *queues: str) -> Mapping[str, QueueEnds]:
        self._called("ends")
        self.looks += 1
        newest = float(self.looks) if self.is_consumed else None
        lengths = {queue: len(self.queued(queue)) for queue in queues}
        return {
            queue: QueueEnds(lists={queue: ListEnd(length=length, length_after=length)}, newest=newest)
            for queue, length in lengths.items()
        }

    async def consumers(self) -> Sequence[Consumer] | None:
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
        record = self.records[restore.uid]
        back = len(self.restored_by(restore))
        return Restorable(found=len(record.quarantine), restore=back, took_any=record.took_any)

    async def first_restorable(self, restore: Restore, most: int) -> Sequence[QuarantinedHeaders]:
        self._called("first_restorable")
        return [
            QuarantinedHeaders(task_id=one.task_id, task=one.task, retries=0, job=None, size=100)
            for one in self.restored_by(restore)[:most]
        ]

    async def aclose(self) -> None:
        self._called("aclose")
