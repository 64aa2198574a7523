"""What a drain would do harm to, an update or volumes: nothing is touched while there is such a thing."""

from collections.abc import Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import KNOWN_KINDS, STATEFUL_SET, WorkerRef
from queue_recovery.recovery.checks import check_not_paused, check_replaces_pods
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import Worker, WorkerOutline
from queue_recovery.recovery.recovery import Recovery


async def outlines_of(recovery: Recovery, workers: Sequence[WorkerRef]) -> Sequence[WorkerOutline]:
    """Return the workers in outline, if they can be stopped or restarted as the recovery does.

    Raises AwaitingChange (`WorkerPaused`, `UpdateInProgress`, `VolumesWouldBeDeleted`, `PodsWouldNotRestart`).
    """
    found = await recovery.environment.workers.outline(workers)
    check_not_paused(recovery, (worker.ref for worker in found if worker.paused))
    check_may_stop(recovery, found)
    check_replaces_pods(recovery, found)
    return found


def check_may_stop(recovery: Recovery, workers: Sequence[Worker | WorkerOutline]) -> None:
    """Raise AwaitingChange (`UpdateInProgress`, `VolumesWouldBeDeleted`) while a scaling to 0 would do harm.

    With `restart.strategy: Manual` the user decides.
    """
    if recovery.scales_workers:
        _check_settled(recovery, workers)
        _check_volumes(workers)


def _check_settled(recovery: Recovery, workers: Sequence[Worker | WorkerOutline]) -> None:
    for worker in workers:
        if worker.unsettled is not None:
            raise AwaitingChange(
                Reason.UPDATE_IN_PROGRESS,
                f"{worker.ref} is not stopped now: {worker.unsettled}. "
                f"{_remedy(worker.ref, recovery.resource.namespace)}; this recovery continues then",
            )


def _remedy(ref: WorkerRef, namespace: str) -> str:
    if ref.gvk == STATEFUL_SET:
        return f"Set partition to 0, or undo the update (kubectl rollout undo {ref.resource} -n {namespace})"
    command = f"kubectl argo rollouts VERB {ref.name} -n {namespace}"
    promote, undo = command.replace("VERB", "promote --full"), command.replace("VERB", "undo")
    return f"Promote the update ({promote}) or undo it ({undo})"


def _check_volumes(workers: Sequence[Worker | WorkerOutline]) -> None:
    for worker in workers:
        if worker.deletes_volumes:
            raise AwaitingChange(
                Reason.VOLUMES_WOULD_BE_DELETED,
                f"{worker.ref} would lose the volumes of its pods, because whenScaled of its "
                "persistentVolumeClaimRetentionPolicy is Delete. Set it to Retain, or stop the workers yourself "
                "(restart.strategy: Manual)",
            )


def check_kinds(recovery: Recovery, workers: Sequence[WorkerRef]) -> None:
    """Raise RecoveryError (`WorkerKindUnsuited`) if the recovery has to know of a worker what cannot be known."""
    required = {each.worker for each in recovery.spec.restart.require_image or ()}
    for worker in workers:
        if worker.gvk not in KNOWN_KINDS and (recovery.restarts_workers or worker in required):
            field = "restart.annotate" if recovery.restarts_workers else "restart.requireImage"
            raise RecoveryError(
                Reason.WORKER_KIND_UNSUITED,
                f"{worker} is of a kind for which it is not known how it updates its pods, so {field} cannot be used. "
                "Create a recovery without it",
            )
