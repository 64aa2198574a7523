"""Restarting: bring the workers back and wait until they are there."""

from collections.abc import Sequence
from contextlib import aclosing

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.recovery.changes import Changes, Waiting
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import ScaledDown, Worker
from queue_recovery.recovery.scope import Scope


async def restart(scope: Scope) -> None:
    """Restore the replicas and wait for the rollout as `kubectl rollout status` judges it."""
    if scope.scales_workers:
        await restore_replicas(scope)
    message = describe_back(await _await_rollout(scope), scope.status.workers, scope.resource.namespace)
    await scope.save(
        (ConditionType.RESTARTED, "True", Reason.COMPLETED, message),
        (ConditionType.REENQUEUED, "False", Reason.REENQUEUING, "enqueuing the listed jobs"),
        doing=(Reason.REENQUEUING, "enqueuing the listed jobs"),
    )


async def _await_rollout(scope: Scope) -> Sequence[Worker]:
    """Return the workers as they are once all of them are rolled out."""
    names = sorted(w.name for w in scope.status.workers)
    # Where others bring them back, what this process has written last says nothing of that.
    async with aclosing(scope.world.workers.follow(names, fresh=not scope.scales_workers)) as followed:
        changes = Changes(scope, followed)
        workers = await changes.next()
        while True:
            waiting = None
            if scope.scales_workers and any(w.note and w.note.uid == scope.resource.uid for w in workers):
                # Created again meanwhile, from a manifest with the note.
                await restore_replicas(scope)
            elif (waiting := _waits_for(scope, workers)) is None:
                return workers
            workers = await changes.next(waiting)


def _waits_for(scope: Scope, workers: Sequence[Worker]) -> Waiting | None:
    """Return what the rollout waits for; None: it is complete."""
    asleep = " ".join(f"deployment/{w.name}" for w in workers if w.replicas == 0)
    if asleep and not scope.scales_workers:
        command = f"kubectl scale {asleep} --replicas=N -n {scope.resource.namespace}"
        return Reason.AWAITING_MANUAL_SCALE_UP, f"the queue is clean: {command}"
    rollouts = "; ".join(f"{w.name}: {w.rollout}" for w in workers if w.rollout is not None)
    return (Reason.AWAITING_ROLLOUT, rollouts) if rollouts else None


def describe_back(workers: Sequence[Worker], before: Sequence[WorkerStatus], namespace: str) -> str:
    """Say how many replicas each worker has, and what to do about one that somebody else has left at 0. Pure."""
    remembered = {worker.name: worker.replicas for worker in before}
    asleep = [w.name for w in workers if w.replicas == 0 and remembered[w.name] > 0]
    back = [f"{w.name} {w.replicas or 'stays at 0, as it was'}" for w in workers if w.name not in asleep]
    told = [f"workers are back: {', '.join(back)}"] if back or not asleep else []
    for name in asleep:
        command = f"kubectl scale deployment/{name} --replicas={remembered[name]} -n {namespace}"
        told.append(f"{name} has 0 replicas instead of {remembered[name]}: somebody else has set that; {command}")
    return "; ".join(told)


def _scaled_down(worker: WorkerStatus) -> ScaledDown | None:
    if worker.drained_generation is None:
        return None
    return ScaledDown(generation=worker.drained_generation, replicas=worker.replicas)


async def restore_replicas(scope: Scope) -> None:
    """Give each worker that was scaled to 0 its replicas back; the same again when called again.

    Raises NotYet or Unavailable, the first that was met: one Deployment that cannot be written holds up no other one.
    """
    errors: list[RecoveryError] = []
    for worker in scope.status.workers:
        taken_over = [] if worker.taken_over_from is None else [worker.taken_over_from]
        try:
            await scope.world.workers.restore(
                worker.name, worker.uid, scope.resource.uid, *taken_over, scaled_down=_scaled_down(worker)
            )
        except RecoveryError as error:
            errors.append(error)
    if errors:
        raise errors[0]
