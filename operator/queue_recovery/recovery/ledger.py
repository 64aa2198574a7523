"""A recovery's entry in the ledger: a copy of a recovery that was executed does not run again.

The entry is written before the first effect. It is marked as executed before the first message is taken or put back
and before the first job is claimed, and gets the outcome before the final status is written. So whenever the process
dies, a recovery that may have done something has an entry that says so.
"""

import logging

from queue_recovery.api.ledger import LEDGER, LedgerEntry
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, QueueRecoveryStatus
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.locks import check_queue_locks
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.takeover import scale_back_earlier

_LOG = logging.getLogger(__name__)


async def begin_entry(recovery: Recovery) -> bool:
    """Write the entry; return False if the recovery is a copy, whose ending is recorded instead.

    Raises Superseded, or RecoveryError as `Ledger` does.
    """
    if await end_copy(recovery):
        return False
    entry = await recovery.ledger.read()
    if entry is None or entry.uid != recovery.resource.uid:
        await recovery.ledger.write(_entry(recovery))
    return True


async def mark_executed(recovery: Recovery) -> bool:
    """Mark the entry as executed; return False if the recovery is a copy, whose ending is recorded instead.

    Raises as `begin_entry`, and Gone: a recovery that was removed by force leaves the entry to its copy.
    """
    entry = await recovery.ledger.read()
    if entry is None or entry.uid != recovery.resource.uid:
        await recovery.confirm()
        if await end_copy(recovery):
            return False
        entry = _entry(recovery)
    if not entry.executed:
        await recovery.ledger.write(entry.model_copy(update={"executed": True}))
    return True


async def end_copy(recovery: Recovery) -> bool:
    """Record the ending of a copy of a recovery that was executed; return whether this is one."""
    earlier = await _executed_before(recovery)
    if earlier is None:
        return False
    if earlier.phase is None:
        await _finish_earlier(recovery)
    ending = ending_of_copy(earlier)
    progress = (ending.reason, f"finishing as {ending.phase}: {ending.message}")
    await recovery.save(progress=progress, update={"ending": ending, "quarantine": earlier.quarantine})
    return True


async def _finish_earlier(recovery: Recovery) -> None:
    """Finish what the earlier recovery of this name has left, because the copy that ends here was to take it over.

    It is gone, as names are unique. Other recoveries that hold the queue have taken it over before.
    """
    queues = await recovery.queues()
    if recovery.takes_messages:
        await scale_back_earlier(recovery, workers_of(queues.values()))
    try:
        await check_queue_locks(recovery, queues)
    except RecoveryError as error:
        if error.reason is not Reason.LOCKED:
            raise


async def as_copy(recovery: Recovery) -> QueueRecoveryStatus:
    """Return the status of a recovery that ends before its first effect; a copy ends as the earlier one did.

    A copy may be cancelled or too late when it is created, and did run all the same.
    """
    status = recovery.status
    if recovery.resource.desired.deleting:
        return status
    try:
        earlier = await _executed_before(recovery)
    except RecoveryError as error:
        _raise_if_unavailable(recovery, error)
        return status
    if earlier is None:
        return status
    return status.model_copy(update={"ending": ending_of_copy(earlier), "quarantine": earlier.quarantine})


async def record_outcome(recovery: Recovery, status: QueueRecoveryStatus, *, are_figures_final: bool = True) -> None:
    """Write how the recovery ends, or remove the entry if the recovery has done nothing and did not succeed.

    An ending does not wait for a ledger that cannot be used: a copy is refused even without the outcome.

    Args:
        recovery: it.
        status: the final status.
        are_figures_final: whether the status shows all that was done.

    Raises Superseded, or RecoveryError (`KubernetesUnavailable`).
    """
    ending = status.ending
    if ending is None or ending.reason == Reason.ALREADY_EXECUTED:
        return
    try:
        entry = await recovery.ledger.read()
        if entry is not None and entry.uid != recovery.resource.uid:
            return
        ended = None
        may_have_restarted = recovery.restarts_workers and entry is not None and entry.executed
        if not are_figures_final or may_have_restarted or not _has_done_nothing(status):
            ended = (entry or _entry(recovery)).model_copy(
                update={
                    "executed": True,
                    "phase": ending.phase,
                    "reason": ending.reason,
                    "message": ending.message,
                    "completion_time": timestamp(recovery.environment.now()),
                    "quarantine": status.quarantine,
                }
            )
        if ended != entry and (entry is None or not entry.phase):
            await recovery.ledger.write(ended)
    except RecoveryError as error:
        _raise_if_unavailable(recovery, error)


def ending_of_copy(earlier: LedgerEntry) -> Ending:
    """Return the ending of a copy: that of the recovery which was executed. Pure."""
    again = "Nothing was done. To run it again, create it with another name"
    if earlier.phase is None:
        return Ending(
            phase="Failed",
            reason=Reason.ALREADY_EXECUTED,
            message=f"a recovery with the same name and spec (UID {earlier.uid}) was removed by force after it had "
            f"begun to take or to enqueue messages at {earlier.start_time}. {again}",
        )
    about = f" ({earlier.message})" if earlier.message else ""
    return Ending(
        phase=earlier.phase,
        reason=Reason.ALREADY_EXECUTED,
        message=f"a recovery with the same name and spec (UID {earlier.uid}) ended as {earlier.phase} at "
        f"{earlier.completion_time}{about}. {again}",
    )


def _has_done_nothing(status: QueueRecoveryStatus) -> bool:
    """Return whether a recovery did not succeed, moved no message and enqueued no job. Pure."""
    ending = status.ending
    if ending is None or ending.phase == "Succeeded" or ending.reason == Reason.BROKER_LOST_DATA:
        return False
    taken = status.messages.quarantined if status.messages else 0
    put_back = status.restored.restored if status.restored else 0
    given_back = status.redelivered.redelivered if status.redelivered else 0
    return not (taken or put_back or given_back or status.jobs.enqueued)


async def _executed_before(recovery: Recovery) -> LedgerEntry | None:
    entry = await recovery.ledger.read()
    if entry is None or not entry.executed or entry.uid == recovery.resource.uid:
        return None
    return entry


def _entry(recovery: Recovery) -> LedgerEntry:
    return LedgerEntry(uid=recovery.resource.uid, start_time=timestamp(recovery.environment.now()))


def _raise_if_unavailable(recovery: Recovery, error: RecoveryError) -> None:
    if error.reason is Reason.KUBERNETES_UNAVAILABLE:
        raise error
    about = {"namespace": recovery.resource.namespace, "recovery": recovery.resource.name, "reason": error.reason}
    _LOG.warning('the recovery ends without a new entry in ConfigMap "%s": %s', LEDGER, error.message, extra=about)
