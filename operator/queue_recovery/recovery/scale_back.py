"""Scaling back: every way that a recovery ends gives its Deployments their replicas again."""

from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import ScaledDown
from queue_recovery.recovery.recovery import Recovery


async def scale_back(recovery: Recovery) -> None:
    """Scale each Deployment that was scaled to 0 back to its replicas; the same again when called again.

    Raises the first RecoveryError that was met: a Deployment that cannot be written does not hold up the others.
    """
    errors: list[RecoveryError] = []
    for worker in recovery.status.workers:
        taken_over = [] if worker.taken_over_from is None else [worker.taken_over_from]
        try:
            await recovery.environment.workers.scale_back(
                worker.name, worker.uid, recovery.resource.uid, *taken_over, scaled_down=_scaled_down(worker)
            )
        except RecoveryError as error:
            errors.append(error)
    if errors:
        raise errors[0]


def _scaled_down(worker: WorkerStatus) -> ScaledDown | None:
    if worker.drained_generation is None:
        return None
    return ScaledDown(generation=worker.drained_generation, replicas=worker.replicas)
