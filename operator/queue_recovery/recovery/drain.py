"""Draining: take the locks, stop the workers, and note what each job looks like once nothing runs."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.recovery.errors import NotYet
from queue_recovery.recovery.jobs import ListedJob, by_queue, listed
from queue_recovery.recovery.phase import moment, timestamp
from queue_recovery.recovery.plan import check_queues, look_up, plan, worker_names
from queue_recovery.recovery.ports import Consumer, ScaleBackNote, SeenJob, StoredJob, Worker
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.restart import scale_back
from queue_recovery.recovery.skips import seen_as
from queue_recovery.recovery.takeover import as_it_was, refuse_damaged, refuse_held, refuse_locked
from queue_recovery.recovery.vanished import missed, vanished
from queue_recovery.recovery.worker_changes import Awaited, WorkerChanges


async def lock(recovery: Recovery) -> None:
    """Look whether the locks are free, then write the intent to take them, with the workers' replicas.

    From this write on every ending closes the run in the broker, so nothing is taken before it.
    """
    recovery.turn.refuse_behind()
    queues = await recovery.queues()
    recovery.stand_in_line(queues)
    recovery.turn.refuse_behind()
    await refuse_locked(recovery, queues)
    if recovery.has_waited_for_lock:
        # The recovery that held it may have done what was planned, or given messages back.
        await plan(recovery)
        return
    if recovery.scales_workers:
        recovery.turn.refuse_queued()
        await recovery.environment.pause(recovery.turn.stop_delay())
    workers = await _first_look(recovery, worker_names(queues.values())) if recovery.takes_messages else []
    await refuse_held(recovery, workers)
    refuse_damaged(recovery, workers)
    now = recovery.environment.now()
    await recovery.save(
        (ConditionType.DRAINED, "False", Reason.DRAINING, "stopping the workers"),
        doing=(Reason.DRAINING, _stopping(recovery, workers)),
        update={
            "drain_start_time": timestamp(now),
            "workers": [as_it_was(recovery, worker) for worker in workers],
        },
    )


async def drain(recovery: Recovery) -> None:
    """Take the locks, stop the workers and wait for the end of their last pod; then freeze what the jobs look like."""
    await refuse_locked(recovery, recovery.runs)
    await check_queues(recovery, recovery.runs)  # the plan may be hours old
    await (await recovery.broker()).open(*recovery.runs.values())
    drained = await stop_workers(recovery) if recovery.takes_messages else []
    await _freeze_jobs(recovery)
    if not recovery.takes_messages:
        message = "purge.mode is None: no worker was stopped"
        await recovery.save(
            (ConditionType.DRAINED, "True", Reason.NOT_NEEDED, message),
            (ConditionType.PURGED, "False", Reason.NOT_NEEDED, "purge.mode is None"),
            doing=(Reason.REENQUEUING, message),
        )
        return
    await recovery.save(
        (ConditionType.DRAINED, "True", Reason.COMPLETED, "all pods of the workers have ended"),
        (ConditionType.PURGED, "False", Reason.PURGING, "moving the messages into the quarantine"),
        doing=(Reason.PURGING, "moving the messages into the quarantine"),
        update={"workers": _with_generations(recovery, drained)},
    )


async def stop_workers(recovery: Recovery) -> Sequence[Worker]:
    """Scale the workers to 0, if the operator does that at all, and return them once their last pod has ended."""
    if (drained := recovery.still_drained) is None:
        recovery.drained = None
        drained = recovery.drained = await _stop(recovery)
    return drained


async def drain_held(recovery: Recovery) -> bool:
    """Tell whether the workers have stayed at zero since their last pod ended.

    A scaling to n and back to 0 leaves no pod to be seen, but moves the Deployment's generation.
    """
    generations = {worker.name: (worker.uid, worker.drained_generation) for worker in recovery.status.workers}
    workers = await recovery.environment.workers.look(sorted(generations))
    held = all(w.drained and (w.uid, w.generation) == generations[w.name] for w in workers)
    recovery.drained = workers if held else None
    return held


def _with_generations(recovery: Recovery, drained: Sequence[Worker]) -> list[WorkerStatus]:
    seen = {worker.name: worker.generation for worker in drained}
    return [w.model_copy(update={"drained_generation": seen[w.name]}) for w in recovery.status.workers]


async def _stop(recovery: Recovery) -> Sequence[Worker]:
    """Stop the workers and return them once nothing of them runs.

    They are followed from before they are scaled down on: no pod ends unseen while this process lives.
    """
    start = recovery.status.drain_start_time
    scaled = recovery.environment.now() if start is None else moment(start)
    names = sorted(w.name for w in recovery.status.workers)
    fresh, recovery.looked = not recovery.looked, False
    async with aclosing(recovery.environment.workers.follow(names, fresh=fresh)) as followed:
        changes = WorkerChanges(recovery, followed)
        try:
            workers = await _next(recovery, changes)
            unnamed = missed(workers, recovery.status.workers)
            written = await _scale_to_zero(recovery, workers) if recovery.scales_workers else {}
        except NotYet:
            if recovery.scales_workers:
                await scale_back(recovery)  # all are stopped, or none
            raise
        while True:
            waiting = None
            # What was seen before the scaling, or by a watch that lags behind it, says nothing.
            if all(w.generation >= written.get(w.uid, 0) for w in workers):
                if not all(worker.drained for worker in workers):
                    waiting = _waits_for(recovery, workers)
                elif await _grace_is_over(recovery, workers, unnamed, scaled):
                    return workers
            before, workers = workers, await _next(recovery, changes, waiting)
            if _generations(workers) != _generations(before):
                scaled = recovery.environment.now()


async def _first_look(recovery: Recovery, names: Sequence[str]) -> Sequence[Worker]:
    """Return the workers as they are, and have them watched from now on: the drain follows them next."""
    async with aclosing(recovery.environment.workers.follow(names)) as followed:
        workers = await _next(recovery, WorkerChanges(recovery, followed))
    recovery.looked = True
    return workers


async def _next(recovery: Recovery, changes: WorkerChanges, waiting: Awaited | None = None) -> Sequence[Worker]:
    workers = await changes.next(waiting)
    _note_addresses(recovery, workers)
    return workers


async def _scale_to_zero(recovery: Recovery, workers: Sequence[Worker]) -> Mapping[str, int]:
    """Scale every worker to 0 that is not; return the generation that this gave each, by UID."""
    await refuse_held(recovery, workers)
    remembered = await _remember(recovery, workers)
    awake = [worker for worker in workers if worker.replicas > 0 or not _is_held(recovery, worker)]
    if awake:
        # Another process may have ended this recovery and left the workers awake: seen after it, they would be
        # stopped for good. One that ends it later moves their resourceVersion, and the write fails.
        await recovery.confirm()
    written = {}
    for worker in awake:
        note = ScaleBackNote(
            uid=recovery.resource.uid,
            name=recovery.resource.name,
            replicas=remembered[worker.name].replicas,
        )
        written[worker.uid] = await recovery.environment.workers.scale_to_zero(worker, note)
    return written


def _is_held(recovery: Recovery, worker: Worker) -> bool:
    return worker.note is not None and worker.note.uid == recovery.resource.uid


def _is_another(recovery: Recovery, worker: Worker, noted: WorkerStatus) -> bool:
    """Tell whether what was noted of a worker is not what it has to be brought back to."""
    scaled = worker.replicas not in {0, noted.replicas} and not _is_held(recovery, worker)
    return worker.uid != noted.uid or (scaled and noted.drained_generation is None)


async def _remember(recovery: Recovery, workers: Sequence[Worker]) -> Mapping[str, WorkerStatus]:
    """Return what each worker is brought back to; noted again for one that is another, or was scaled since."""
    remembered = {worker.name: worker for worker in recovery.status.workers}
    others = [worker for worker in workers if _is_another(recovery, worker, remembered[worker.name])]
    for worker in others:
        remembered[worker.name] = as_it_was(recovery, worker)
    if others:
        await recovery.save(
            doing=(Reason.DRAINING, _stopping(recovery, workers)), update={"workers": list(remembered.values())}
        )
    return remembered


def _waits_for(recovery: Recovery, workers: Sequence[Worker]) -> Awaited:
    """Return which workers are waited for; raises NotYet (`WorkerChanged`) when somebody has scaled one up again."""
    if recovery.scales_workers:
        _refuse_revived(workers)
        ends = [moment(worker.stops_by) for worker in workers if worker.stops_by is not None]
        namespace = recovery.resource.namespace
        return Awaited(
            reason=Reason.DRAINING,
            message=_stopping(recovery, workers),
            until=max(ends, default=None),
            overdue=f". That time is over, so its node may be away: kubectl describe pod -n {namespace}",
        )
    left = " ".join(f"deployment/{w.name}" for w in workers if not w.drained)
    command = f"kubectl scale {left} --replicas=0 -n {recovery.resource.namespace}"
    return Awaited(reason=Reason.AWAITING_MANUAL_SCALE_DOWN, message=f"restart.strategy is Manual: {command}")


async def _grace_is_over(
    recovery: Recovery, workers: Sequence[Worker], unnamed: Mapping[str, int], scaled: datetime
) -> bool:
    """Let the grace period of pods pass that were not seen to end, with a warning that names them.

    Returns whether the workers are still drained then; at once when every pod was seen to end.
    """
    gone = vanished(workers, unnamed, scaled)
    if gone is None:
        return True
    await recovery.save(doing=(Reason.POD_VANISHED, gone.message))
    rest = (gone.until - recovery.environment.now()).total_seconds()
    if rest <= 0:
        return True
    await recovery.environment.pause(rest)
    again = await recovery.environment.workers.look([worker.name for worker in workers])
    return all(worker.drained for worker in again) and _generations(again) == _generations(workers)


def _generations(workers: Sequence[Worker]) -> list[tuple[str, int]]:
    return [(worker.uid, worker.generation) for worker in workers]


def _note_addresses(recovery: Recovery, workers: Sequence[Worker]) -> None:
    now = recovery.environment.now()
    recovery.last_seen |= {address: now for worker in workers for address in worker.addresses}


def refuse_survivors(consumers: Sequence[Consumer], last_seen: Mapping[str, datetime], now: datetime) -> None:
    """Refuse to take messages while a consumer lives on whose pod is gone: on a lost node, or deleted by force.

    It would take what is enqueued again. A pod's address may be another pod's by now, so only a connection proves
    anything that was made before the pod was last seen.

    Raises:
        NotYet: `UnknownConsumer`.
    """
    for consumer in consumers:
        seen = last_seen.get(consumer.address)
        if seen is not None and now - timedelta(seconds=consumer.age_seconds) < seen:
            raise NotYet(
                Reason.UNKNOWN_CONSUMER,
                f"a worker at {consumer.address} still waits for messages although its pod is gone, as on a lost node "
                f"or after a forced deletion; end it, or at least its connection: CLIENT KILL ID {consumer.id}",
            )


def _refuse_revived(workers: Sequence[Worker]) -> None:
    revived = [w.name for w in workers if w.replicas > 0]
    if revived:
        raise NotYet(
            Reason.WORKER_CHANGED,
            f"somebody scaled {', '.join(revived)} up during the drain; scaling to 0 again. If it is a GitOps tool or "
            "an autoscaler, pause it",
        )


def _stopping(recovery: Recovery, workers: Sequence[Worker]) -> str:
    if not recovery.takes_messages:
        return "taking the lock"
    awake = [worker for worker in workers if not worker.drained]
    if not awake:
        return f"no pod of {', '.join(worker.name for worker in workers)} is running"
    what = "; ".join(worker.stopping for worker in awake if worker.stopping)
    return "waiting for the last pod of " + ", ".join(worker.name for worker in awake) + (f": {what}" if what else "")


async def _freeze_jobs(recovery: Recovery) -> None:
    jobs = [job for job in listed(recovery.spec) if job.id is not None]
    if not jobs:
        return
    await freeze(recovery, jobs, {one.id: one.without_arguments() async for one in look_up(recovery, jobs)})


async def freeze(
    recovery: Recovery, jobs: Iterable[ListedJob], stored: Mapping[str, StoredJob]
) -> Mapping[str, SeenJob | None]:
    """Write down what each job that has an id looks like; return, by key, what was written down first."""
    broker = await recovery.broker()
    recoverable = await recovery.recoverable()
    frozen: dict[str, SeenJob | None] = {}
    for queue, own in by_queue(jobs).items():
        seen = {job.key: seen_as(stored.get(job.id), recoverable) for job in own if job.id is not None}
        frozen |= await broker.freeze(recovery.runs[queue], seen)
    return frozen
