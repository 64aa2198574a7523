"""How long the tasks of one queue run, as far as looks prove it. Pure.

A message that is acknowledged late is in `unacked` while its task runs. If it is there with the same delivery at two
looks, and Celery's result says both times that the same process of a running pod has started the task, then the task
has been running in between: each end of a run removes the message, stores another state, or ends the process. That
holds for a message that was delivered for the first time, because what is stored may be of an earlier delivery.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.diagnosis.evidence import TaskProcess
from queue_recovery.diagnosis.stuck_evidence import QueueLook, Sighting, WorkersLook

_FORGOTTEN_AFTER: Final = timedelta(days=2)
"""A task that runs once a day is seen again before."""

_SEEN_FOR: Final = 2
"""A message that is delivered again counts if its task was seen running for half of the visibility timeout or more."""

_UNSEEN_FOR: Final = 4
"""And if there was at most a quarter of it between the last look that saw it running and the one that saw it again."""


@dataclass(frozen=True, kw_only=True)
class StartedTasks:
    """Which tasks of the messages that workers hold have been started."""

    processes: Mapping[bytes, TaskProcess]
    """By the digest of the task's id; only of tasks whose message was delivered for the first time."""
    at: datetime
    """When all of this was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """A task that a process runs."""

    task: str | None
    process: TaskProcess
    worker: WorkerRef
    retries: int
    delivered: datetime
    """By the worker's clock; the others are by that of the operator."""
    since: datetime
    """When the first look had seen it."""
    until: datetime
    """When the last look that has seen it began."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Longest:
    """The run that has lasted longest, of all that were seen."""

    task: str | None
    lasted: timedelta
    """At least."""
    seen: datetime


@dataclass(frozen=True, kw_only=True)
class RunTimes:
    """What the looks so far have shown."""

    runs: Mapping[bytes, Run] = field(default_factory=dict)
    """Those that go on, by the digest of the task's id."""
    longest: Mapping[WorkerRef, Longest] = field(default_factory=dict)
    """Of each worker."""
    again: Longest | None = None
    """The longest run during which the visibility timeout was over, so that its message was delivered again."""
    grace_seconds: Mapping[WorkerRef, int] = field(default_factory=dict)
    """Seconds that the pods of these workers may take to end, as they were seen last."""

    @property
    def is_empty(self) -> bool:
        """Whether no run was seen."""
        return not self.runs and not self.longest


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
    longest = {worker: one for worker, one in before.longest.items() if at - one.seen <= _FORGOTTEN_AFTER}
    again = None if before.again is None or at - before.again.seen > _FORGOTTEN_AFTER else before.again
    if started is None or workers is None:
        return replace(before, longest=longest, again=again)
    runs = dict(_runs(before, look, started, workers, at))
    for run in runs.values():
        if run.until > run.since:
            longest[run.worker] = _longer(longest.get(run.worker), run, at)
    for name, run in before.runs.items():
        is_there = run.process.host in workers.pods
        seen = [one for one in look.sampled if one.id == name]
        if timeout is not None and is_there and _is_delivered_again(run, seen, timedelta(seconds=timeout), at):
            again = _longer(again, run, at)
    grace = dict(before.grace_seconds)
    for worker in {pod.worker for pod in workers.pods.values()}:
        grace[worker] = max(pod.grace_seconds for pod in workers.pods.values() if pod.worker == worker)
    return RunTimes(runs=runs, longest=longest, again=again, grace_seconds=grace)


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
        pod = None if process is None else workers.pods.get(process.host)
        if process is None or pod is None:
            continue
        known = before.runs.get(name)
        is_same = known is not None and (known.process, known.delivered) == (process, delivered)
        yield (
            name,
            Run(
                task=sighting.task,
                process=process,
                worker=pod.worker,
                retries=sighting.retries,
                delivered=delivered,
                since=known.since if known is not None and is_same else started.at,
                until=at,
            ),
        )


def _is_delivered_again(run: Run, seen: Sequence[Sighting], visible: timedelta, at: datetime) -> bool:
    """Tell whether the message of a run was delivered again because the visibility timeout was over.

    A task that gives its own message back (`Reject` with `requeue`), or whose child process is lost, does so at any
    time. So it has to have been seen running for long, and until a short time ago.

    Args:
        run: as the looks before have seen it.
        seen: the messages of that task now.
        visible: the visibility timeout.
        at: when this look began.
    """
    if run.until - run.since < visible / _SEEN_FOR or at - run.until > visible / _UNSEEN_FOR:
        return False
    again = [one for one in seen if one.redelivered and one.retries == run.retries]
    return any((one.delivered or at) - run.delivered >= visible for one in again)


def _longer(known: Longest | None, run: Run, at: datetime) -> Longest:
    lasted = run.until - run.since
    if known is not None and known.lasted > lasted:
        return known
    return Longest(task=run.task, lasted=lasted, seen=at)
