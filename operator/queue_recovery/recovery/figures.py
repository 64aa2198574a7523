"""The final figures of a recovery, and its final message. Pure."""

from collections.abc import Collection, Sequence
from datetime import datetime

from queue_recovery.api.examples import MessageExample
from queue_recovery.api.examples import Unreplaced as UnreplacedStatus
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, JobTotals, Messages, Quarantine, QueueRecoveryStatus, Redelivered
from queue_recovery.recovery import skips
from queue_recovery.recovery.jobs import ListedJob
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Closed, Taken, Unreplaced
from queue_recovery.recovery.wording import counted, named


def count_messages(taken: Taken) -> Messages:
    """Return the counts of found, quarantined and left messages."""
    quarantined = taken.ready + taken.unacked
    return Messages(
        found=quarantined + taken.left,
        quarantined=quarantined,
        left=taken.left,
        oversized=taken.oversized,
        undecodable=taken.undecodable,
    )


def final_jobs(
    status: QueueRecoveryStatus,
    uid: str,
    jobs: Sequence[ListedJob],
    closed: Closed,
    in_doubt: Collection[str],
) -> QueueRecoveryStatus:
    """Return the status with the number of enqueued jobs and a row for each other job.

    Args:
        status: before it is finished.
        uid: of the recovery.
        jobs: all listed jobs.
        closed: the recovery's closed run.
        in_doubt: keys of the jobs that may or may not have been enqueued.
    """
    known = {row.id: row for row in status.skipped}
    rows = []
    for job in jobs:
        if job.key in closed.pushed:
            continue
        if job.key in in_doubt:
            rows.append(skips.in_doubt(job, uid))
        else:
            rows.append(known.get(job.label) or skips.not_attempted(job))
    totals = JobTotals.counted(len(jobs), enqueued=len(jobs) - len(rows), skipped=len(rows))
    return status.model_copy(update={"jobs": totals, "skipped": rows})


def final_messages(
    status: QueueRecoveryStatus, taken: Taken | None, unreplaced: Unreplaced, expires: datetime | None
) -> QueueRecoveryStatus:
    """Return the status with the final message counts; `expires`: of the quarantine, None: it is removed.

    A quarantine without messages is omitted: its name would lead to nothing.
    """
    if taken is None:
        return status
    messages = count_messages(taken)
    quarantine = None
    if expires is not None and messages.quarantined:
        quarantine = Quarantine(
            name=taken.quarantine, messages=messages.quarantined, expiration_time=timestamp(expires)
        )
    known = status.messages.unreplaced if status.messages else None
    if known is not None:
        # Counted before the quarantine was removed.
        messages = messages.model_copy(update={"unreplaced": known})
    elif unreplaced.count:
        shown = UnreplacedStatus(
            count=unreplaced.count,
            is_exact=unreplaced.is_exact,
            examples=[MessageExample(task_id=one.task_id, task=one.task) for one in unreplaced.first],
        )
        messages = messages.model_copy(update={"unreplaced": shown})
    return status.model_copy(update={"messages": messages, "quarantine": quarantine})


def final_redelivered(status: QueueRecoveryStatus, given: int) -> QueueRecoveryStatus:
    """Return the status with the final number of messages that were given back to the queue."""
    before = status.redelivered
    if before is None and not given:
        return status
    left = before.left if before else max(0, (status.plan.unacked if status.plan else 0) - given)
    return status.model_copy(update={"redelivered": Redelivered(found=given + left, redelivered=given, left=left)})


def final_ending(
    status: QueueRecoveryStatus, in_doubt: int, *, has_lost: bool, lost: int, scales_workers: bool
) -> Ending:
    """Return the ending; if the recovery did not succeed, its message lists what was done.

    Args:
        status: with the final figures.
        in_doubt: how many jobs may or may not have been enqueued.
        has_lost: whether the broker has lost records of the recovery.
        lost: how many messages the broker has lost while they were sorted.
        scales_workers: whether the operator has stopped and started the workers.
    """
    ending = status.ending
    if ending is None:
        raise ValueError("a recovery ends with an ending")
    if has_lost or lost:
        found = [_lost_records(in_doubt)] if has_lost else []
        found += [lost_messages(lost, "this recovery")] if lost else []
        never = sum(row.reason == Reason.NOT_ATTEMPTED for row in status.skipped)
        if never:
            found.append(f"{counted(never, 'job')} not attempted. List them in a new recovery")
        if not has_lost:
            found.append(_outcome(status, scales_workers=scales_workers))
        elif status.quarantine is not None:
            found.append("Its quarantined messages may be lost too")
        return Ending(phase="Failed", reason=Reason.BROKER_LOST_DATA, message=". ".join(filter(None, found)))
    if ending.phase == "Succeeded":
        counts, stop, rest = ending.message.partition(". ")
        return ending.model_copy(update={"message": f"{counts}{_unreplaced(status)}{stop}{rest}"})
    if not (outcome := _outcome(status, scales_workers=scales_workers)):
        return ending
    return ending.model_copy(update={"message": f"{ending.message.rstrip('.')}. {outcome}"})


def lost_messages(count: int, sorter: str) -> str:
    """Describe the messages that the broker has lost while a recovery sorted them; `sorter` names it."""
    them = "it" if count == 1 else "them"
    return (
        f"the broker has lost {counted(count, 'message')} of the quarantine while {sorter} was sorting {them} "
        "(an eviction, or a client that deleted or trimmed the list)"
    )


def _lost_records(in_doubt: int) -> str:
    message = "the broker has lost records of this recovery (a failover, or a restart without its data)"
    if in_doubt:
        message += (
            f". {counted(in_doubt, 'job')} may or may not have been enqueued. Compare the task ids in "
            "status.skipped with what your workers ran"
        )
    return message


def _unreplaced(status: QueueRecoveryStatus) -> str:
    found = status.messages.unreplaced if status.messages else None
    if found is None or status.jobs.total == 0:
        return ""
    at_least = "" if found.is_exact else "at least "
    return f"; {at_least}{counted(found.count, 'quarantined message')} not replaced by an enqueued job"


def _outcome(status: QueueRecoveryStatus, *, scales_workers: bool) -> str:
    """Return what was done, and what was not, from the drain on; empty: nothing."""
    done = []
    if status.messages is not None and status.messages.quarantined:
        done.append(f"{counted(status.messages.quarantined, 'message')} quarantined")
    elif scales_workers:
        done.append("no message quarantined")
    if status.jobs.total:
        done.append(f"{status.jobs.enqueued} of {counted(status.jobs.total, 'job')} enqueued")
    if status.redelivered is not None:
        done.append(f"{counted(status.redelivered.redelivered, 'message')} given back to the queue")
    if status.restored is not None:
        done.append(f"{counted(status.restored.restored, 'message')} put back")
    if scales_workers:
        done.append("workers scaled back")
    return f"Outcome: {', '.join(done)}{_undo(status)}" if done else ""


def _undo(status: QueueRecoveryStatus) -> str:
    """Return how to put back the messages of a recovery that did not succeed; empty: it has none."""
    if status.quarantine is None or not status.quarantine.messages:
        return ""
    if _is_deleted(status):
        return f". {_undo_deletion(status.quarantine, one=status.quarantine.messages == 1)}"
    return ". To put the messages back, use restoreFrom"


def _is_deleted(status: QueueRecoveryStatus) -> bool:
    """Tell whether the recovery ends because it was deleted, so that nothing can name it."""
    return status.ending is not None and status.ending.reason == Reason.DELETED


def _undo_deletion(quarantine: Quarantine, *, one: bool) -> str:
    """Return where the messages of a deleted recovery are; `one`: there is only one."""
    subject, them = ("The message is", "it") if one else ("The messages are", "them")
    until = f" until {quarantine.expiration_time}" if quarantine.expiration_time else ""
    return (
        f'{subject} in the quarantine "{quarantine.name}"{until}. To put {them} back, create this recovery again with '
        "the same name and spec, which does not run again, and name it in restoreFrom"
    )


def unreplaced_note(status: QueueRecoveryStatus) -> str | None:
    """Describe the messages that no enqueued job replaces, and how to put them back; None: none."""
    if status.messages is None or status.messages.unreplaced is None:
        return None
    found = status.messages.unreplaced
    at_least = "" if found.is_exact else "at least "
    verb = "was" if found.count == 1 else "were"
    names = named([f"{one.task or 'a task'} {one.task_id or 'without an id'}" for one in found.examples])
    which = f" ({names})" if found.is_exact and names else ""
    them = "it" if found.count == 1 else "them"
    of_each = " for each queue" if status.plan and len(status.plan.queues) > 1 else ""
    undo = f"To put {them} back, create a QueueRecovery{of_each} whose restoreFrom names this one"
    if status.quarantine is None:
        undo = "They are removed for good, because purge.retentionSeconds is 0"
    elif _is_deleted(status):
        undo = _undo_deletion(status.quarantine, one=found.count == 1)
    total = counted(status.messages.quarantined, "quarantined message")
    return f"{at_least}{found.count} of {total} {verb} not replaced by an enqueued job{which}. {undo}"
