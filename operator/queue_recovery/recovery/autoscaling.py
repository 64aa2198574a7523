"""The workers' autoscalers: KEDA is paused while the workers are at 0; what cannot be paused is refused before that."""

from collections.abc import Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.api.replicas import MOST_SCALED_OBJECTS, PausedScaledObject
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import RecoveryError, locked_by
from queue_recovery.recovery.ports import Autoscaler, PausedBy, ScaledObject
from queue_recovery.recovery.recovery import Recovery


async def scaled_objects_of(recovery: Recovery, workers: Sequence[WorkerRef]) -> Sequence[ScaledObject]:
    """Return the ScaledObjects that the recovery has to pause, or has paused; a user's own pause is left as it is.

    Raises RecoveryError (`AutoscalerActive`, `TooManyWorkers`).
    """
    if not recovery.scales_workers:
        return []
    found = await recovery.environment.autoscalers.look(workers)
    for autoscaler in found.from_zero:
        raise _acts(autoscaler, recovery.resource.namespace)
    active = [one for one in found.scaled_objects if one.paused_by is not None or not one.is_paused]
    if len(active) > MOST_SCALED_OBJECTS:
        raise RecoveryError(
            Reason.TOO_MANY_WORKERS,
            f"{len(active)} ScaledObjects scale the workers, and one recovery pauses at most {MOST_SCALED_OBJECTS}. "
            "KEDA expects one for each worker: remove the others",
        )
    return active


async def free_scaled_objects_of(recovery: Recovery, workers: Sequence[WorkerRef]) -> Sequence[ScaledObject]:
    """Return the same; raise RecoveryError (`Locked`) while another existing recovery has paused one of them.

    This one polls, because nothing is watched that changes when it is unpaused.
    """
    found = await scaled_objects_of(recovery, workers)
    for one in found:
        by = one.paused_by
        if by is None or by.uid == recovery.resource.uid:
            continue
        holder = f"{recovery.resource.namespace}/{by.name}"
        exists = await recovery.exists(holder, by.uid, unfinished=True)
        if exists is not False:
            script = f"sh manifests/scale-back.sh -n {recovery.resource.namespace}"
            remedies = [script] if exists is None else []
            raise locked_by({f'ScaledObject "{one.name}"': f'recovery "{holder}"'}, remedies=remedies)
    return found


async def yet_to_pause(recovery: Recovery, workers: Sequence[WorkerRef]) -> Sequence[ScaledObject]:
    """Record in the status which ScaledObjects are paused, and return those that are not; raises as those above.

    One whose labels somebody has removed is paused again, which writes them.
    From this write on every ending unpauses them.
    """
    found = await free_scaled_objects_of(recovery, workers)
    recorded = {one.name: one for one in recovery.status.scaled_objects}
    now = {**recorded, **{one.name: _recorded_again(recovery, one, recorded.get(one.name)) for one in found}}
    if len(now) > MOST_SCALED_OBJECTS:
        # One that is not found may be there: the operator may not list it, or it scales something else now.
        raise RecoveryError(
            Reason.TOO_MANY_WORKERS,
            f"since the start, {len(now)} ScaledObjects of different names have scaled the workers, and one recovery "
            f"pauses at most {MOST_SCALED_OBJECTS}. Stop what replaces them, then create a new recovery",
        )
    if now != recorded:
        doing = Reason.DRAINING, "pausing the autoscalers of the workers"
        await recovery.save(progress=doing, update={"scaled_objects": list(now.values())})
    return [one for one in found if not (one.is_paused and one.is_labelled and _is_ours(recovery, one))]


async def pause(recovery: Recovery, scaled_objects: Sequence[ScaledObject]) -> None:
    """Pause these ScaledObjects, which the status names."""
    by = PausedBy(uid=recovery.resource.uid, name=recovery.resource.name)
    for one in scaled_objects:
        await recovery.environment.autoscalers.pause(one, by)


def paused_scaled_object(recovery: Recovery, found: ScaledObject) -> PausedScaledObject:
    """Return a ScaledObject's record in the status."""
    theirs = None if found.paused_by is None or _is_ours(recovery, found) else found.paused_by.uid
    return PausedScaledObject(name=found.name, uid=found.uid, taken_over_from=theirs)


def _recorded_again(recovery: Recovery, found: ScaledObject, recorded: PausedScaledObject | None) -> PausedScaledObject:
    is_known = recorded is not None and recorded.uid == found.uid and _is_ours(recovery, found)
    return recorded if recorded is not None and is_known else paused_scaled_object(recovery, found)


def _is_ours(recovery: Recovery, found: ScaledObject) -> bool:
    return found.paused_by is not None and found.paused_by.uid == recovery.resource.uid


def _acts(autoscaler: Autoscaler, namespace: str) -> RecoveryError:
    patch = f'kubectl patch hpa {autoscaler.name} -n {namespace} --patch \'{{"spec":{{"minReplicas":1}}}}\''
    return RecoveryError(
        Reason.AUTOSCALER_ACTIVE,
        f'HorizontalPodAutoscaler "{autoscaler.name}" may scale {autoscaler.worker} up from 0, because its '
        f"minReplicas is 0. Set it to 1 until this recovery has ended: {patch}",
    )
