"""Updates that a drain would disturb: nothing is touched before they have ended."""

from collections.abc import Sequence

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import KNOWN_KINDS, WorkerRef
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import Worker, WorkerOutline
from queue_recovery.recovery.recovery import Recovery


def check_settled(recovery: Recovery, workers: Sequence[Worker | WorkerOutline]) -> None:
    """Raise AwaitingChange (`UpdateInProgress`) while an update of one of the workers is neither promoted nor undone.

    With `restart.strategy: Manual` the user decides.
    """
    if not recovery.scales_workers:
        return
    for worker in workers:
        if worker.unsettled is not None:
            command = f"kubectl argo rollouts VERB {worker.ref.name} -n {recovery.resource.namespace}"
            promote, undo = command.replace("VERB", "promote --full"), command.replace("VERB", "undo")
            raise AwaitingChange(
                Reason.UPDATE_IN_PROGRESS,
                f"{worker.ref} is not stopped now: {worker.unsettled}. Promote the update ({promote}) or undo it "
                f"({undo}); this recovery continues then",
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
