"""Scaling back: every ending of a recovery sets its workers to their recorded replicas, and unpauses KEDA."""

from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.recovery.ports import ScaledDown
from queue_recovery.recovery.recovery import Recovery


async def scale_back(recovery: Recovery) -> None:
    """Set each worker to its recorded replicas, and then unpause its ScaledObject; idempotent.

    In this order: what KEDA sets after that is left, and what it would set before that is less than what there was.

    Raises the first error after all were tried: one failed write does not delay the other workers, even if the
    error is unexpected.
    """
    errors: list[Exception] = []
    for worker in recovery.status.workers:
        taken_over = [] if worker.taken_over_from is None else [worker.taken_over_from]
        try:
            await recovery.environment.workers.scale_back(
                worker.ref, worker.uid, recovery.resource.uid, *taken_over, scaled_down=_scaled_down(worker)
            )
        except Exception as error:  # noqa: BLE001  # raised below
            errors.append(error)
    for paused in recovery.status.scaled_objects:
        taken_over = [] if paused.taken_over_from is None else [paused.taken_over_from]
        try:
            await recovery.environment.autoscalers.unpause(paused.name, paused.uid, recovery.resource.uid, *taken_over)
        except Exception as error:  # noqa: BLE001  # raised below
            errors.append(error)
    if errors:
        raise errors[0]


def _scaled_down(worker: WorkerStatus) -> ScaledDown | None:
    if worker.drained_generation is None:
        return None
    return ScaledDown(generation=worker.drained_generation, replicas=worker.replicas)
