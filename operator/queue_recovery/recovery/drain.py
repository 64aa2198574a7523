"""Draining: acquire the locks, stop the workers, and freeze the state of the jobs."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import datetime

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.autoscaling import pause, yet_to_pause
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.frozen_jobs import freeze_all, skipped_as_frozen
from queue_recovery.recovery.jobs import listed
from queue_recovery.recovery.locks import acquire_locks, check_notes
from queue_recovery.recovery.phase import moment
from queue_recovery.recovery.ports import ScaleBackNote, Worker
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.replica_owners import remedies
from queue_recovery.recovery.scale_back import scale_back
from queue_recovery.recovery.settled import check_may_stop
from queue_recovery.recovery.vanished import missed, vanished
from queue_recovery.recovery.wording import quoted
from queue_recovery.recovery.worker_changes import Awaited, WorkerChanges


async def drain(recovery: Recovery) -> None:
    """Acquire the locks, stop the workers, wait for their last pod, and freeze the jobs' state."""
    await acquire_locks(recovery)
    drained = await stop_workers(recovery) if recovery.takes_messages else []
    frozen = await freeze_all(recovery)
    if not recovery.takes_messages:
        # A worker that is restarted may take the message of a job, which is in no queue then.
        by_id = [job for job in listed(recovery.spec) if job.id is not None] if recovery.restarts_workers else []
        skipped = await skipped_as_frozen(recovery, by_id, frozen) if by_id else {}
        message = "purge.mode is None, so no worker was stopped"
        await recovery.save(
            (ConditionType.DRAINED, "True", Reason.NOT_NEEDED, message),
            (ConditionType.PURGED, "False", Reason.NOT_NEEDED, "purge.mode is None, so every message stays"),
            progress=(Reason.REENQUEUING, message),
            update={"skipped": list(skipped.values())},
        )
        return
    await recovery.save(
        (ConditionType.DRAINED, "True", Reason.COMPLETED, "all pods of the workers have ended"),
        (ConditionType.PURGED, "False", Reason.PURGING, "moving the messages into the quarantine"),
        progress=(Reason.PURGING, "moving the messages into the quarantine"),
        update={"workers": _with_generations(recovery, drained)},
    )


async def stop_workers(recovery: Recovery) -> Sequence[Worker]:
    """Stop the workers, unless the user does, and return them once their last pod has ended."""
    if (drained := recovery.still_drained) is None:
        recovery.drained = None
        drained = recovery.drained = await _stop(recovery)
    return drained


async def drain_held(recovery: Recovery) -> bool:
    """Tell whether the workers have stayed at 0 since their last pod ended.

    Scaling up and back to 0 may leave no pod, but it increments the Deployment's generation.
    """
    generations = {worker.ref: (worker.uid, worker.drained_generation) for worker in recovery.status.workers}
    workers = await recovery.environment.workers.look(sorted(generations))
    held = all(w.drained and (w.uid, w.generation) == generations[w.ref] for w in workers)
    recovery.drained = workers if held else None
    return held


def _with_generations(recovery: Recovery, drained: Sequence[Worker]) -> list[WorkerStatus]:
    seen = {worker.ref: worker.generation for worker in drained}
    return [w.model_copy(update={"drained_generation": seen[w.ref]}) for w in recovery.status.workers]


async def _stop(recovery: Recovery) -> Sequence[Worker]:
    """Stop the workers and return them once none of their pods is running.

    The watch starts before the workers are scaled down, so this process observes the end of every pod.
    """
    start = recovery.status.drain_start_time
    scaled = recovery.environment.now() if start is None else moment(start)
    refs = sorted(w.ref for w in recovery.status.workers)
    fresh, recovery.looked = not recovery.looked, False
    async with aclosing(recovery.environment.workers.follow(refs, fresh=fresh)) as followed:
        changes = WorkerChanges(recovery, followed)
        try:
            workers = await changes.next()
            unnamed = missed(workers, recovery.status.workers)
            written = await _scale_to_zero(recovery, workers) if recovery.scales_workers else {}
        except RecoveryError as error:
            if error.outcome is Outcome.NOT_YET and recovery.scales_workers:
                await scale_back(recovery)  # either all workers are stopped or none
            raise
        while True:
            waiting = None
            # Ignore what was read before the scaling, or by a watch that lags behind it.
            if all(w.generation >= written.get(w.uid, 0) for w in workers):
                if not all(worker.drained for worker in workers):
                    waiting = _waits_for(recovery, workers)
                elif await _grace_is_over(recovery, workers, unnamed, scaled):
                    return workers
            before, workers = workers, await changes.next(waiting)
            if recovery.scales_workers:
                _refuse_unlabelled(recovery, workers)
                await _step_back(recovery, workers)
            if _generations(workers) != _generations(before):
                scaled = recovery.environment.now()


async def _scale_to_zero(recovery: Recovery, workers: Sequence[Worker]) -> Mapping[str, int]:
    """Scale the workers to 0 that are not; return the new generation of each, by UID."""
    await check_notes(recovery, workers)
    check_may_stop(recovery, workers)
    remembered = await _remember(recovery, workers)
    awake = [worker for worker in workers if worker.replicas > 0 or not _is_held(recovery, worker)]
    unpaused = await yet_to_pause(recovery, [worker.ref for worker in workers])
    if awake or unpaused:
        # If another process has finished this recovery, the workers are scaled back, and stopping them now would leave
        # them at 0 for good. If it finishes later, it changes their resourceVersion, and the write below fails.
        await recovery.confirm()
    await pause(recovery, unpaused)
    written = {}
    for worker in awake:
        note = ScaleBackNote(
            uid=recovery.resource.uid,
            name=recovery.resource.name,
            replicas=remembered[worker.ref].replicas,
        )
        written[worker.uid] = await recovery.environment.workers.scale_to_zero(worker, note)
    return written


async def _step_back(recovery: Recovery, workers: Sequence[Worker]) -> None:
    """Scale the workers back and raise AwaitingChange if to stop one would do harm now; nothing is taken yet."""
    try:
        check_may_stop(recovery, [worker for worker in workers if worker.replicas == 0])
    except AwaitingChange:
        await scale_back(recovery)
        raise


def _is_held(recovery: Recovery, worker: Worker) -> bool:
    return worker.note is not None and worker.note.uid == recovery.resource.uid


def _is_another(recovery: Recovery, worker: Worker, noted: WorkerStatus) -> bool:
    """Tell whether a worker's replicas have to be recorded again."""
    scaled = worker.replicas not in {0, noted.replicas} and not _is_held(recovery, worker)
    return worker.uid != noted.uid or (scaled and noted.drained_generation is None)


async def _remember(recovery: Recovery, workers: Sequence[Worker]) -> Mapping[WorkerRef, WorkerStatus]:
    """Return the recorded state of each worker, updated for one that was replaced or scaled since."""
    remembered = {worker.ref: worker for worker in recovery.status.workers}
    others = [worker for worker in workers if _is_another(recovery, worker, remembered[worker.ref])]
    for worker in others:
        remembered[worker.ref] = worker_status(recovery, worker)
    if others:
        await recovery.save(
            progress=(Reason.DRAINING, describe_stopping(recovery, workers)),
            update={"workers": list(remembered.values())},
        )
    return remembered


def _waits_for(recovery: Recovery, workers: Sequence[Worker]) -> Awaited:
    """Describe the wait for the last pods; raises RecoveryError (`WorkerChanged`) if one was scaled up."""
    if recovery.scales_workers:
        _refuse_revived(workers)
        ends = [moment(worker.stops_by) for worker in workers if worker.stops_by is not None]
        namespace = recovery.resource.namespace
        return Awaited(
            reason=Reason.DRAINING,
            message=describe_stopping(recovery, workers),
            until=max(ends, default=None),
            overdue=f". That time is over, so its node may be away. Check it: kubectl describe pod -n {namespace}",
        )
    left = " ".join(w.ref.resource for w in workers if not w.drained)
    command = f"kubectl scale {left} --replicas=0 -n {recovery.resource.namespace}"
    return Awaited(
        reason=Reason.AWAITING_MANUAL_SCALE_DOWN,
        message=f"restart.strategy is Manual. Scale the workers down: {command}",
    )


async def _grace_is_over(
    recovery: Recovery, workers: Sequence[Worker], unnamed: Mapping[WorkerRef, int], scaled: datetime
) -> bool:
    """Wait for the grace period of pods whose end was not observed, with a warning that names them.

    Returns whether the workers are still drained after that; returns at once if the end of every pod was observed.
    """
    gone = vanished(workers, unnamed, scaled)
    if gone is None:
        return True
    await recovery.save(progress=(Reason.POD_VANISHED, gone.message))
    rest = (gone.until - recovery.environment.now()).total_seconds()
    if rest <= 0:
        return True
    await recovery.environment.pause(rest)
    again = await recovery.environment.workers.look([worker.ref for worker in workers])
    return all(worker.drained for worker in again) and _generations(again) == _generations(workers)


def _generations(workers: Sequence[Worker]) -> list[tuple[str, int]]:
    return [(worker.uid, worker.generation) for worker in workers]


def _refuse_revived(workers: Sequence[Worker]) -> None:
    revived = [worker for worker in workers if worker.replicas > 0]
    if revived:
        raise RecoveryError(
            Reason.WORKER_CHANGED,
            f"{_managers(revived)} scaled {quoted(worker.name for worker in revived)} up during the drain; scaling to "
            f"0 again. {_remedy(revived)}",
        )


def _managers(revived: Sequence[Worker]) -> str:
    found = sorted({worker.scaled_by for worker in revived if worker.scaled_by})
    return f"field manager {quoted(found)}" if found else "another client"


def _remedy(revived: Sequence[Worker]) -> str:
    known = remedies({worker.scaled_by for worker in revived if worker.scaled_by}, revived[0].ref)
    return known or "If it is a GitOps tool or an autoscaler, pause it"


def _refuse_unlabelled(recovery: Recovery, workers: Sequence[Worker]) -> None:
    """Raise RecoveryError (`WorkerChanged`) if a note was removed: scaling to 0 again writes it.

    Before the drain has ended, an ending scales back by the note alone.
    """
    removed = [worker.name for worker in workers if worker.replicas == 0 and not _is_held(recovery, worker)]
    if removed:
        raise RecoveryError(
            Reason.WORKER_CHANGED,
            f"another client removed the labels of {quoted(removed)} during the drain; writing them again",
        )


def describe_stopping(recovery: Recovery, workers: Sequence[Worker]) -> str:
    """Return the message of a drain: which pods it waits for."""
    if not recovery.takes_messages:
        return "acquiring the lock"
    awake = [worker for worker in workers if not worker.drained]
    if not awake:
        return f"every pod of {quoted(worker.name for worker in workers)} has ended"
    pods = "; ".join(worker.stopping for worker in awake if worker.stopping)
    return f"waiting for the pods of {quoted(worker.name for worker in awake)} to end" + (f": {pods}" if pods else "")


def worker_status(recovery: Recovery, worker: Worker) -> WorkerStatus:
    """Return a worker's record in the status; the replicas of its note, if it has one, come first."""
    note = worker.note
    is_own = note is not None and note.uid == recovery.resource.uid
    replicas = worker.replicas
    if note is not None:
        # A user may have scaled it since the other recovery was removed; that number is kept.
        replicas = note.replicas if is_own else replicas or note.replicas
    return WorkerStatus(
        api_version=worker.ref.api_version,
        kind=worker.ref.kind,
        name=worker.name,
        uid=worker.uid,
        replicas=replicas,
        pods=worker.pods,
        taken_over_from=None if note is None or is_own else note.uid,
    )
