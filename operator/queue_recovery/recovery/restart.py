"""Restarting: bring the workers back and wait until they are there."""

from collections.abc import Mapping, Sequence
from contextlib import aclosing

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.changes import Changes, Waiting
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import ScaledDown, Worker
from queue_recovery.recovery.scope import Scope
from queue_recovery.recovery.wording import named


async def restart(scope: Scope) -> None:
    """Restore the replicas and wait for the rollout as `kubectl rollout status` judges it."""
    if scope.scales_workers:
        await restore_replicas(scope)
    workers = await _await_rollout(scope)
    message = describe_back(workers, scope.status.workers, scope.resource.namespace)
    reason = Reason.COMPLETED
    asleep = frozenset(worker.name for worker in workers if worker.replicas == 0)
    if asleep and (alone := without_workers(asleep, await scope.queues())):
        reason, message = Reason.WORKERS_AT_ZERO, f"{_nobody_consumes(scope, alone)} ({message})"
    doing = "enqueuing the listed jobs" if scope.spec.jobs else "no job is listed"
    await scope.save(
        (ConditionType.RESTARTED, "True", reason, message),
        (ConditionType.REENQUEUED, "False", Reason.REENQUEUING, doing),
        doing=(Reason.REENQUEUING, doing),
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
        return Waiting(reason=Reason.AWAITING_MANUAL_SCALE_UP, message=f"the queue is clean: {command}")
    rollouts = "; ".join(f"{w.name}: {w.rollout}" for w in workers if w.rollout is not None)
    return Waiting(reason=Reason.AWAITING_ROLLOUT, message=rollouts) if rollouts else None


def describe_back(workers: Sequence[Worker], before: Sequence[WorkerStatus], namespace: str) -> str:
    """Say how many replicas each worker has, and what to do about one that somebody else has left at 0. Pure."""
    remembered = {worker.name: worker.replicas for worker in before}
    asleep = [w.name for w in workers if w.replicas == 0 and remembered[w.name] > 0]
    back = [f"{w.name} {w.replicas or 'at 0, as before'}" for w in workers if w.name not in asleep]
    told = [f"replicas: {', '.join(back)}"] if back or not asleep else []
    for name in asleep:
        command = f"kubectl scale deployment/{name} --replicas={remembered[name]} -n {namespace}"
        told.append(f"{name} has 0 replicas instead of {remembered[name]}: somebody else has set that; {command}")
    return "; ".join(told)


def without_workers(asleep: frozenset[str], queues: Mapping[str, QueueSpec]) -> Mapping[str, Sequence[str]]:
    """Return the queues all of whose Deployments have 0 replicas, with these Deployments. Pure."""
    of_queue = {name: [worker.name for worker in queue.workers] for name, queue in queues.items()}
    return {name: names for name, names in of_queue.items() if asleep.issuperset(names)}


def _nobody_consumes(scope: Scope, alone: Mapping[str, Sequence[str]]) -> str:
    queues = named([f'"{name}"' for name in alone])
    names = sorted({name for of_queue in alone.values() for name in of_queue})
    deployments = " ".join(f"deployment/{name}" for name in names)
    return (
        f"Nobody consumes {queues}: scale the workers up, unless an autoscaler does: "
        f"kubectl scale {deployments} --replicas=N -n {scope.resource.namespace}"
    )


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
