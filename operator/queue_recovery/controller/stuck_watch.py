"""Watches the queues of one target: looks at each, remembers the last looks, and tells which queues are stuck.

And how long their tasks run, as far as that is seen.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from queue_recovery.api.base import EVERY_QUEUE
from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import BrokerSpec
from queue_recovery.api.stuck import QueueStuck
from queue_recovery.api.target import QueueDepth, QueueSpec, QueueTargetSpec
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.run_times import RunTimes, StartedTasks, follow
from queue_recovery.diagnosis.stuck import ORDER, find, needs_workers, tell
from queue_recovery.diagnosis.stuck_evidence import PodLook, QueueLook, WorkersLook
from queue_recovery.diagnosis.stuck_memory import Memory, Told, remember, with_ends
from queue_recovery.diagnosis.stuck_rules import Case, Finding
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Broker, Held, Unacked, Worker, Workers
from queue_recovery.recovery.stranded import running

StuckQueues = Mapping[str, Sequence[QueueStuck]]
"""Why queues are stuck, by queue; queues that are not are omitted."""

Findings = Mapping[str, Sequence[Finding]]
"""What one look has found, by queue."""

_NOBODY = Held(count=0, since=None)


class StuckWatch:
    """The last looks at the queues of one target, in memory.

    Another process begins again, with what the status says.
    """

    def __init__(self) -> None:
        """Begin without a look."""
        self._memories: dict[str, Memory] = {}
        self._run_times: dict[str, RunTimes] = {}
        self._watched: tuple[BrokerSpec, Sequence[QueueSpec]] | None = None
        self._told: Mapping[str, Mapping[Reason, Told]] = {}
        self._recovered: set[str] = set()

    def forget(self, queue: str) -> None:
        """Forget what was seen of a queue, or of every one (`*`), because a recovery has changed it since."""
        self._recovered.add(queue)

    def begin(self, spec: QueueTargetSpec, old: Sequence[QueueDepth]) -> None:
        """Begin a check.

        Args:
            spec: of the target. Of another broker, or of other queues, what was seen counts no more.
            old: what the status says of the queues.
        """
        before, self._watched = self._watched, (spec.broker, spec.queues)
        if before != self._watched:
            self._memories.clear()
            self._run_times.clear()
        is_other_broker = before is not None and before[0] != spec.broker
        self._told = {} if is_other_broker else {queue.name: _told(queue.stuck) for queue in old}

    async def look(
        self,
        spec: QueueTargetSpec,
        looks: Mapping[str, QueueLook],
        broker: Broker,
        workers: Workers,
        *,
        at: datetime,
        started: StartedTasks | None,
    ) -> Findings:
        """Return what is found, of the queues that no recovery holds; raises RecoveryError if the broker is away.

        Args:
            spec: of the target.
            looks: what was seen of each queue.
            broker: the target's.
            workers: those of its namespace. They are looked at only if that can prove something.
            at: the time of this look.
            started: which of the tasks that were seen have been started; None: that is not known.
        """
        now = timestamp(at)
        memories: dict[str, Memory] = {}
        recovered = frozenset(self._recovered)
        for queue in spec.queues:
            is_recovered = not recovered.isdisjoint((queue.name, EVERY_QUEUE))
            memories[queue.name] = remember(
                None if is_recovered else self._memories.get(queue.name),
                looks[queue.name],
                at,
                queues=len(looks),
                job_task=None if queue.message is None else queue.message.task,
                told=None if is_recovered else self._told.get(queue.name),
            )
            await asyncio.sleep(0)
        stuck = spec.diagnosis.stuck
        doubted = [
            queue
            for queue in spec.queues
            if needs_workers(stuck, memories[queue.name], looks[queue.name])
            or _may_have_run(self._run_times.get(queue.name), looks[queue.name], started)
        ]
        seen = await _look_at_workers(workers, doubted)
        timeout = spec.broker.transport_options.visibility_timeout_seconds
        for name, look in looks.items():
            before, found = self._run_times.get(name, RunTimes()), seen.get(name, _NOT_NEEDED)
            self._run_times[name] = follow(before, look, started, found, at, timeout=timeout)
        cases: dict[str, Case] = {}
        for name, look in looks.items():
            found = seen.get(name, _NOT_NEEDED)
            memory = memories[name] if found is None else with_ends(memories[name], found)
            cases[name] = Case(spec=stuck, memory=memory, look=look, workers=found, at=at)
        findings = {name: find(case) for name, case in cases.items()}
        for name, case in (await _with_what_is_still_held(cases, findings, broker)).items():
            cases[name], findings[name] = case, find(case)
        suspected = [name for name, case in cases.items() if findings[name] or case.memory.told]
        holders = await broker.holders(*suspected) if suspected else {}
        self._memories = {
            name: tell(case, findings[name], now)
            for name, case in cases.items()
            # What a recovery does to a queue looks like a cause, and ends what was one.
            if name not in holders and not (case.workers is not None and case.workers.is_held)
        }
        self._recovered -= recovered
        return {name: findings[name] for name in self._memories if findings[name]}

    @property
    def stuck(self) -> StuckQueues:
        """Why queues are stuck, as the last look tells it; not always all of it is found at each look."""
        return {name: shown for name, memory in self._memories.items() if (shown := _shown(memory))}

    @property
    def run_times(self) -> Mapping[str, RunTimes]:
        """How long tasks run, by queue, as the looks so far have shown it."""
        return self._run_times

    def told(self, queue: str) -> Mapping[Reason, Told]:
        """Return what the last look tells of a queue."""
        return self._memories[queue].told

    def tell(self, queue: str, reason: Reason, told: Told) -> None:
        """Tell something else of a cause."""
        memory = self._memories[queue]
        self._memories[queue] = replace(memory, told={**memory.told, reason: told})


_NOT_NEEDED = WorkersLook(running=None)


async def looks_at(
    spec: QueueTargetSpec, broker: Broker, ready: Mapping[str, int], unacked: Unacked
) -> Mapping[str, QueueLook]:
    """Return what is seen of each queue, of which the depths and the messages that workers hold are known."""
    waiting = [queue for queue, count in ready.items() if count]
    lists = await broker.next_messages(waiting) if waiting else {}
    held = {queue: unacked.queues.get(queue, _NOBODY) for queue in ready}
    looks: dict[str, QueueLook] = {}
    for queue in spec.queues:
        looks[queue.name] = QueueLook(
            ready=ready[queue.name],
            held=held[queue.name].count,
            sightings=held[queue.name].sightings,
            lists=lists.get(queue.name, {}),
            total=unacked.total,
            not_counted=unacked.not_counted,
            shared=[one.delivered for other in _with_same_workers(spec, queue) for one in held[other].sightings],
            elsewhere=unacked.elsewhere,
        )
        await asyncio.sleep(0)
    return looks


def _may_have_run(times: RunTimes | None, look: QueueLook, started: StartedTasks | None) -> bool:
    """Tell whether a task runs that a look at the workers can confirm, or one has run."""
    if times is not None and not times.is_empty:
        return True
    return started is not None and any(one.id in started.processes for one in look.sightings)


def _with_same_workers(spec: QueueTargetSpec, queue: QueueSpec) -> Sequence[str]:
    """Return the other queues that one of the queue's workers consumes."""
    workers = frozenset(queue.workers)
    return [other.name for other in spec.queues if other is not queue and not workers.isdisjoint(other.workers)]


async def _look_at_workers(workers: Workers, queues: Collection[QueueSpec]) -> Mapping[str, WorkersLook | None]:
    """Return what the workers of these queues look like; None: they could not be looked at."""
    refs = sorted({ref for queue in queues for ref in queue.workers})
    if not refs:
        return {}
    try:
        found = dict(zip(refs, await workers.look(refs), strict=True))
    except RecoveryError:
        # Another condition tells of it.
        return dict.fromkeys((queue.name for queue in queues), None)
    return {queue.name: _together(queue.workers, found) for queue in queues}


async def _with_what_is_still_held(
    cases: Mapping[str, Case], findings: Mapping[str, Sequence[Finding]], broker: Broker
) -> Mapping[str, Case]:
    """Return the cases of stranded messages that are not told yet, with those messages that are still held.

    The last pod of a rolling update may have acknowledged its message and ended after the messages were looked at, and
    before the workers were. What is held now was held when the workers were looked at.
    """
    new = [name for name, case in cases.items() if Reason.STRANDED_MESSAGES in _newly(case, findings[name])]
    if not new:
        return {}
    held = (await broker.unacked(new)).queues
    return {name: replace(cases[name], look=cases[name].look.still_with(held[name].sightings)) for name in new}


def _newly(case: Case, found: Sequence[Finding]) -> Collection[Reason]:
    return {finding.reason for finding in found} - case.memory.told.keys()


def _together(refs: Sequence[WorkerRef], found: Mapping[WorkerRef, Worker]) -> WorkersLook:
    of_queue = [found[ref] for ref in refs]
    ready = [since for one in of_queue for since in one.ready_since]
    return WorkersLook(
        running=running(of_queue),
        ready_pods=len(ready),
        ready_since=min(ready, default=None),
        may_hold_nothing=any(one.may_hold_nothing for one in of_queue),
        ends=[end for one in of_queue for end in one.ends],
        is_held=any(one.note is not None for one in of_queue),
        pods={
            name: PodLook(worker=ref, grace_seconds=seconds)
            for ref in refs
            for name, seconds in found[ref].running_pods.items()
        },
    )


def _told(stuck: Sequence[QueueStuck]) -> Mapping[Reason, Told]:
    """Return what an earlier process has told."""
    known = {reason.value: reason for reason in ORDER}
    return {
        known[one.reason]: Told(since=one.since, seen=one.message, proposal=one.proposal)
        for one in stuck
        if one.reason in known
    }


def _shown(memory: Memory) -> Sequence[QueueStuck]:
    return [
        QueueStuck(reason=reason.value, since=told.since, message=told.message, proposal=told.proposal)
        for reason, told in memory.told.items()
    ]
