"""Restarting workers that keep running, as `kubectl rollout restart` does: once for each recovery."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.checks import check_not_paused, check_replaces_pods
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ledger import mark_executed
from queue_recovery.recovery.locks import check_notes
from queue_recovery.recovery.phase import moment
from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.recovery import Recovery

_DENIED: Final = frozenset({Reason.FORBIDDEN, Reason.WORKER_WRITE_REFUSED})


async def rollout_restart(recovery: Recovery) -> bool:
    """Restart the workers; return False if the recovery is a copy, whose ending is recorded instead.

    The annotation says when the recovery started, so a process that enters this step again writes the same value,
    which restarts nothing.

    Raises RecoveryError as `check_restartable`, or (`WorkerChanged`, `WorkerWriteRefused`) the first one after all
    workers were tried.
    """
    start = recovery.status.drain_start_time
    if start is None:
        raise ValueError("workers are restarted after the recovery has started")
    workers = await recovery.environment.workers.look(sorted(w.ref for w in recovery.status.workers))
    await check_restartable(recovery, workers)
    known = {worker.uid for worker in recovery.status.workers}
    now = recovery.environment.now()
    due = [w for w in workers if w.uid in known and w.replicas > 0 and not _is_restarted_since(w, start, now)]
    if not due:
        return True
    if not await mark_executed(recovery):
        return False
    # A process that was held up must not restart workers after another one has finished the recovery. If that finishes
    # it later, it changes the workers' resourceVersion, and the writes below fail.
    await recovery.confirm()
    errors: list[RecoveryError] = []
    for worker in due:
        try:
            await recovery.environment.workers.restart(worker, start)
        except RecoveryError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return True


async def check_restartable(recovery: Recovery, workers: Sequence[Worker]) -> None:
    """Raise AwaitingChange (`Locked`, `WorkerPaused`, `PodsWouldNotRestart`) while not every pod can be restarted."""
    await check_notes(recovery, workers)
    check_not_paused(recovery, (worker.ref for worker in workers if worker.paused))
    check_replaces_pods(recovery, workers)


def is_restarting(recovery: Recovery) -> bool:
    """Tell whether the restart has begun, in this process or another one, and is not known to be complete."""
    restarted = find(recovery.status.conditions, ConditionType.RESTARTED)
    return recovery.restarts_workers and restarted is not None and restarted.status != "True"


async def refuse_late_restarts(recovery: Recovery) -> None:
    """Change each worker's resourceVersion, so that a restart that another process still sends fails; idempotent.

    Where this is denied, that restart is denied as well.
    """
    for worker in recovery.status.workers:
        try:
            await recovery.environment.workers.scale_back(worker.ref, worker.uid, recovery.resource.uid)
        except RecoveryError as error:
            if error.reason not in _DENIED:
                raise


def describe_unfinished(recovery: Recovery) -> str:
    """Describe what an ending leaves of a restart that may not be complete; empty: nothing."""
    if not is_restarting(recovery):
        return ""
    workers = " ".join(worker.ref.resource for worker in recovery.status.workers)
    return (
        "A restart of workers that has begun is left as it is; see it with "
        f"kubectl get {workers} -n {recovery.resource.namespace}"
    )


def _is_restarted_since(worker: Worker, start: str, now: datetime) -> bool:
    """Tell whether another client has restarted a worker after the recovery started. Pure.

    A time after now is that of a client whose clock is wrong, and says nothing.
    """
    try:
        restarted = moment(worker.restarted_at or "")
        return moment(start) < restarted <= now
    except (ValueError, TypeError):  # not a time, or one without a zone
        return False
