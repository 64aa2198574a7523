"""Scaling back: every ending of a recovery sets its workers to their recorded replicas, and unpauses KEDA."""

from collections.abc import Mapping, Sequence

from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.api.replicas import PausedScaledObject
from queue_recovery.recovery.errors import DENIED, RecoveryError
from queue_recovery.recovery.ports import ScaledDown
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.wording import quoted


async def scale_back(recovery: Recovery) -> None:
    """Set each worker to its recorded replicas, and then unpause its ScaledObject; idempotent.

    In this order: what KEDA sets after that is left, and what it would set before that is less than what there was.

    Raises the first error after all were tried: one failed write does not delay the other workers, even if the
    error is unexpected.
    """
    errors = await _scale_workers_back(recovery)
    errors += (await _unpause(recovery, recovery.status.scaled_objects)).values()
    if errors:
        raise errors[0]


async def scale_back_at_end(recovery: Recovery) -> None:
    """Do the same for an ending, which waits neither for what may not be unpaused nor, with its drain slot, for KEDA.

    What stays paused is in `recovery.still_paused`. An ending that is entered again tries only what failed.
    """
    errors: list[Exception] = []
    if not recovery.scaled_back:
        errors = await _scale_workers_back(recovery)
        if not errors:
            mark_scaled_back(recovery)
    names = recovery.still_paused
    to_unpause = [one for one in recovery.status.scaled_objects if names is None or one.name in names]
    failed = await _unpause(recovery, to_unpause)
    recovery.still_paused = frozenset(failed)
    errors += [error for error in failed.values() if not _is_denied(error)]
    if errors:
        raise errors[0]


def mark_scaled_back(recovery: Recovery) -> None:
    """Remember that the ending has scaled the workers back, and release the drain slot."""
    recovery.scaled_back = True
    recovery.turn.release_drain_slot()  # the rest waits for servers without a deadline, and others need the slot


def describe_still_paused(recovery: Recovery) -> str:
    """Describe the ScaledObjects that an ending could not unpause, and what to do; empty: there are none."""
    if not recovery.still_paused:
        return ""
    kind = "ScaledObject" if len(recovery.still_paused) == 1 else "ScaledObjects"
    return (
        f"{kind} {quoted(sorted(recovery.still_paused))} may still be paused, because the API server denies the change "
        "(a missing permission, an admission policy, or KEDA's own webhook). Once it is allowed, run: "
        f"sh manifests/scale-back.sh -n {recovery.resource.namespace}"
    )


async def _scale_workers_back(recovery: Recovery) -> list[Exception]:
    """Set each worker to its recorded replicas; return the errors of those that failed."""
    errors: list[Exception] = []
    for worker in recovery.status.workers:
        taken_over = [] if worker.taken_over_from is None else [worker.taken_over_from]
        try:
            await recovery.environment.workers.scale_back(
                worker.ref, worker.uid, recovery.resource.uid, *taken_over, scaled_down=_scaled_down(worker)
            )
        except Exception as error:  # noqa: BLE001  # raised by the callers
            errors.append(error)
    return errors


async def _unpause(recovery: Recovery, scaled_objects: Sequence[PausedScaledObject]) -> Mapping[str, Exception]:
    """Unpause each ScaledObject; return the errors of those that failed, by name."""
    failed: dict[str, Exception] = {}
    for paused in scaled_objects:
        taken_over = [] if paused.taken_over_from is None else [paused.taken_over_from]
        try:
            await recovery.environment.autoscalers.unpause(paused.name, paused.uid, recovery.resource.uid, *taken_over)
        except Exception as error:  # noqa: BLE001  # raised by the callers
            failed[paused.name] = error
    return failed


def _is_denied(error: Exception) -> bool:
    return isinstance(error, RecoveryError) and error.reason in DENIED


def _scaled_down(worker: WorkerStatus) -> ScaledDown | None:
    if worker.drained_generation is None:
        return None
    return ScaledDown(generation=worker.drained_generation, replicas=worker.replicas)
