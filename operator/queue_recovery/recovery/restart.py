"""Restarting: scale the workers back and wait for their rollout."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.api.target import QueueSpec
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.rollout_restart import check_restartable, rollout_restart
from queue_recovery.recovery.scale_back import scale_back
from queue_recovery.recovery.steps import begun_after
from queue_recovery.recovery.wording import named, quoted
from queue_recovery.recovery.worker_changes import Awaited, WorkerChanges, awaited_rollout


async def restart(recovery: Recovery) -> None:
    """Scale the workers back or restart them, and wait for the rollout, as `kubectl rollout status` judges it."""
    if recovery.scales_workers:
        await scale_back(recovery)
    elif recovery.restarts_workers and not await rollout_restart(recovery):
        return
    workers = await _await_rollout(recovery)
    message = describe_replicas(workers, recovery.status.workers, recovery.resource.namespace)
    reason = Reason.COMPLETED
    asleep = frozenset(worker.ref for worker in workers if worker.replicas == 0)
    if asleep and (alone := without_workers(asleep, await recovery.queues())):
        reason, message = Reason.WORKERS_AT_ZERO, f"{_no_consumers(recovery, alone)} ({message})"
    if recovery.restarts_workers and len(asleep) < len(workers):
        message = f"workers restarted; {message}"
    begun = begun_after(recovery, ConditionType.RESTARTED)
    await recovery.save(
        (ConditionType.RESTARTED, "True", reason, message),
        begun.condition,
        progress=begun.progress,
    )


async def _await_rollout(recovery: Recovery) -> Sequence[Worker]:
    """Wait until all rollouts are complete, and return the workers."""
    refs = sorted(w.ref for w in recovery.status.workers)
    # If the user scales the workers up, the last write of this process is not the current state.
    fresh = not (recovery.scales_workers or recovery.restarts_workers)
    async with aclosing(recovery.environment.workers.follow(refs, fresh=fresh)) as followed:
        changes = WorkerChanges(recovery, followed)
        workers = await changes.next()
        while True:
            waiting = None
            if recovery.restarts_workers:
                await check_restartable(recovery, workers)
            if recovery.scales_workers and any(w.note and w.note.uid == recovery.resource.uid for w in workers):
                # The Deployment was created again, from a manifest with the note.
                await scale_back(recovery)
            elif (waiting := _waits_for(recovery, workers)) is None:
                return workers
            workers = await changes.next(waiting)


def _waits_for(recovery: Recovery, workers: Sequence[Worker]) -> Awaited | None:
    """Return what the rollout waits for; None: it is complete."""
    asleep = [w.ref for w in workers if w.replicas == 0]
    if asleep and recovery.takes_messages and not recovery.scales_workers:
        before = {worker.ref: worker.replicas or "N" for worker in recovery.status.workers}
        commands = " && ".join(
            f"kubectl scale {ref.resource} --replicas={before[ref]} -n {recovery.resource.namespace}" for ref in asleep
        )
        return Awaited(
            reason=Reason.AWAITING_MANUAL_SCALE_UP,
            message=f"restart.strategy is Manual. Scale the workers up: {commands}",
        )
    return awaited_rollout(workers)


def describe_replicas(workers: Sequence[Worker], before: Sequence[WorkerStatus], namespace: str) -> str:
    """Describe each worker's replicas, and what to do if another client has set them to 0. Pure."""
    remembered = {worker.ref: worker.replicas for worker in before}
    asleep = [w.ref for w in workers if w.replicas == 0 and remembered[w.ref] > 0]
    back = [f'"{w.name}" has {w.replicas or "0, as before"}' for w in workers if w.ref not in asleep]
    parts = [f"replicas: {named(back)}"] if back or not asleep else []
    for ref in asleep:
        command = f"kubectl scale {ref.resource} --replicas={remembered[ref]} -n {namespace}"
        parts.append(
            f'"{ref.name}" has 0 replicas instead of {remembered[ref]}: another client has set this; {command}'
        )
    return "; ".join(parts)


def without_workers(asleep: frozenset[WorkerRef], queues: Mapping[str, QueueSpec]) -> Mapping[str, Sequence[WorkerRef]]:
    """Return the queues whose workers all have 0 replicas, with the workers. Pure."""
    return {name: queue.workers for name, queue in queues.items() if asleep.issuperset(queue.workers)}


def _no_consumers(recovery: Recovery, alone: Mapping[str, Sequence[WorkerRef]]) -> str:
    queues = quoted(alone)
    refs = sorted({ref for of_queue in alone.values() for ref in of_queue})
    workers = " ".join(ref.resource for ref in refs)
    return (
        f"No worker consumes {queues}. Scale the workers up, unless an autoscaler does: "
        f"kubectl scale {workers} --replicas=N -n {recovery.resource.namespace}"
    )
