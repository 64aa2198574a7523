"""Restarting: bring the workers back and wait until they are there."""

from contextlib import aclosing

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.scope import Scope


async def restart(scope: Scope) -> None:
    """Restore the replicas and wait for the rollout as `kubectl rollout status` judges it."""
    if scope.scales_workers:
        await restore_replicas(scope)
    await _await_rollout(scope)
    back = ", ".join(f"{w.name} {w.replicas or 'stays at 0, as it was'}" for w in scope.status.workers)
    await scope.save(
        (ConditionType.RESTARTED, "True", Reason.COMPLETED, f"workers are back: {back}"),
        (ConditionType.REENQUEUED, "False", Reason.REENQUEUING, "enqueuing the listed jobs"),
        doing=(Reason.REENQUEUING, "enqueuing the listed jobs"),
    )


async def _await_rollout(scope: Scope) -> None:
    names = sorted(w.name for w in scope.status.workers)
    async with aclosing(scope.world.workers.follow(names)) as changes:
        async for workers in changes:
            asleep = " ".join(f"deployment/{w.name}" for w in workers if w.replicas == 0)
            waiting = "; ".join(f"{w.name}: {w.rollout}" for w in workers if w.rollout is not None)
            if asleep and not scope.scales_workers:
                command = f"kubectl scale {asleep} --replicas=N -n {scope.resource.namespace}"
                await scope.save(doing=(Reason.AWAITING_MANUAL_SCALE_UP, f"the queue is clean: {command}"))
            elif waiting:
                await scope.save(doing=(Reason.AWAITING_ROLLOUT, waiting))
            else:
                return


async def restore_replicas(scope: Scope) -> None:
    """Give each worker that was scaled to 0 its replicas back; the same again when called again."""
    for worker in scope.status.workers:
        taken_over = [] if worker.taken_over_from is None else [worker.taken_over_from]
        await scope.world.workers.restore(worker.name, worker.uid, scope.resource.uid, *taken_over)
