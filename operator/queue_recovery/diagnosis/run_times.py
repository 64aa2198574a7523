"""How long the tasks of one queue run, as far as looks prove it. Pure.

A message that is acknowledged late is in `unacked` while its task runs. If it is there with the same delivery at two
looks, and Celery's result says both times that the same process of a living pod has started the task, then the task has
been running in between: each end of a run removes the message, stores another state, or ends the process.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.evidence import TaskProcess
from queue_recovery.diagnosis.stuck_evidence import PodLook, QueueLook, Sighting, WorkersLook

_FIRST_DELIVERY_AFTER: Final = timedelta(seconds=1)
"""After the start of a process, which is reported in whole seconds: no worker begins to consume within one."""

_FORGOTTEN_AFTER: Final = timedelta(days=2)
"""A task that runs once a day is seen again before."""


@dataclass(frozen=True, kw_only=True)
class StartedTasks:
    """Which tasks of the messages that workers hold have been started."""

    processes: Mapping[bytes, TaskProcess]
    """By the digest of the task's id."""
    at: datetime
    """When all of this was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A task that a process runs."""

    task: str | None
    process: TaskProcess
    retries: int
    delivered: datetime
    since: datetime
    """When the first look had seen it."""
    until: datetime
    """When the last look that has seen it began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Longest:
    """What has lasted longest, of all that was seen."""

    task: str | None
    lasted: timedelta
    """At least."""
    seen: datetime


@dataclass(frozen=True, kw_only=True)
class RunTimes:
    """What the looks so far have shown."""

    last: datetime | None = None
    """When the last look began."""
    runs: Mapping[bytes, Run] = field(default_factory=dict)
    """Those that the last look has seen, by the digest of the task's id."""
    ran: Mapping[WorkerRef, Longest] = field(default_factory=dict)
    """The longest run of each worker."""
    held: Longest | None = None
    """The longest time for which a worker has held the message of a task that it was running."""
    grace_seconds: Mapping[WorkerRef, int] = field(default_factory=dict)
    """Seconds that the pods of these workers may take to end, as they were seen last."""

    @property
    def is_empty(self) -> bool:
        """Whether no run was seen."""
        return not self.runs and not self.ran and self.held is None


def follow(
    before: RunTimes,
    look: QueueLook,
    started: StartedTasks | None,
    workers: WorkersLook | None,
    at: datetime,
    *,
    timeout: int | None,
) -> RunTimes:
    """Return what this look and those before show together.

    Args:
        before: what the looks before have shown.
        look: what this one has seen of the queue.
        started: which tasks have been started, read after the queue; None: that could not be read.
        workers: the workers, read after that; None: they could not be looked at.
        at: when this look began.
        timeout: Celery's visibility timeout in seconds, if it is known.
    """
    ran = {worker: one for worker, one in before.ran.items() if at - one.seen <= _FORGOTTEN_AFTER}
    held = None if before.held is None or at - before.held.seen > _FORGOTTEN_AFTER else before.held
    if started is None or workers is None:
        return replace(before, last=at, ran=ran, held=held)
    runs = dict(_runs(before, look, started, workers, at))
    for run in runs.values():
        worker = workers.pods[run.process.host].worker
        ran[worker] = _longer(ran.get(worker), run, run.until - run.since, at)
        held = _longer(held, run, run.until - run.delivered, at)
    if timeout is not None:
        visible = timedelta(seconds=timeout)
        for run in _given_back(before, look, workers, visible, at):
            held = _longer(held, run, visible, at)
    return RunTimes(
        last=at,
        runs=runs,
        ran={worker: one for worker, one in ran.items() if one.lasted > timedelta()},
        held=held if held is not None and held.lasted > timedelta() else None,
        grace_seconds={**before.grace_seconds, **workers.grace_seconds},
    )


def _runs(
    before: RunTimes, look: QueueLook, started: StartedTasks, workers: WorkersLook, at: datetime
) -> Iterator[tuple[bytes, Run]]:
    # Of two messages of one task it is not known which of them a process runs.
    messages = Counter(one.id for one in look.sampled)
    for sighting in look.sightings:
        name, delivered = sighting.id, sighting.delivered
        if name is None or delivered is None or messages[name] > 1:
            continue
        process = started.processes.get(name)
        if process is None or _pod_of(process, delivered, workers) is None:
            continue
        known = before.runs.get(name)
        is_same = known is not None and (known.process, known.delivered) == (process, delivered)
        yield (
            name,
            Run(
                task=sighting.task,
                process=process,
                retries=sighting.retries,
                delivered=delivered,
                since=known.since if known is not None and is_same else started.at,
                until=at,
            ),
        )


def _pod_of(process: TaskProcess, delivered: datetime, workers: WorkersLook) -> PodLook | None:
    """Return the living pod of a process that has taken what was delivered then; None: there is none."""
    pod = workers.pods.get(process.host)
    return None if pod is None or delivered < pod.newest_process + _FIRST_DELIVERY_AFTER else pod


def _given_back(
    before: RunTimes, look: QueueLook, workers: WorkersLook, visible: timedelta, at: datetime
) -> Iterator[Run]:
    """Yield the tasks that ran at the last look, and whose messages were given back as the visibility timeout was over.

    Their processes are still there, so none of them has given its message back because it ended.
    """
    for name, run in before.runs.items():
        if run.until == before.last and _pod_of(run.process, run.delivered, workers) is not None:
            again = [one for one in look.sampled if one.id == name]
            if any(_is_given_back(one, run, visible, at) for one in again):
                yield run


def _is_given_back(sighting: Sighting, run: Run, visible: timedelta, at: datetime) -> bool:
    """Tell whether this is the message of a run, given back no earlier than the visibility timeout was over.

    A task may give its own message back before (`Reject` with `requeue`).
    """
    is_same = sighting.redelivered and sighting.retries == run.retries
    return is_same and (sighting.delivered or at) - run.delivered >= visible


def _longer(known: Longest | None, run: Run, lasted: timedelta, at: datetime) -> Longest:
    if known is not None and known.lasted > lasted:
        return known
    return Longest(task=run.task, lasted=lasted, seen=at)
