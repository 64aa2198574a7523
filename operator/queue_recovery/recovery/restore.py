"""Restoring: put messages of an earlier recovery back into the queue. No worker is stopped."""

from typing import Final

from queue_recovery.api.base import EVERY_QUEUE
from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.quarantined import MOST_LISTED, QuarantinedMessage
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import PurgeSpec, QueueRecoverySpec
from queue_recovery.api.recovery_status import Ending, Plan, QueueRecoveryStatus
from queue_recovery.api.recovery_status import Restored as RestoredStatus
from queue_recovery.api.restore_from import RestoreFrom
from queue_recovery.recovery.approval import ask, requires_approval, save_plan
from queue_recovery.recovery.checks import check_queues
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.jobs import job_id
from queue_recovery.recovery.ledger import end_copy, mark_executed
from queue_recovery.recovery.locks import acquire_locks
from queue_recovery.recovery.phase import is_terminal, moment, timestamp
from queue_recovery.recovery.ports import Restorable, Restore, Restored
from queue_recovery.recovery.ports.environment import Earlier
from queue_recovery.recovery.recovery import Recovery, wanted_from
from queue_recovery.recovery.status import Update
from queue_recovery.recovery.wording import counted, named

PUTTING_BACK: Final = "putting the messages back; workers see all of them at once"
"""The message of a running restore."""


async def plan_restore(recovery: Recovery) -> None:
    """Write the plan of a restore to the status, or the ending of a copy; raise the error that prevents it."""
    if await end_copy(recovery):
        return
    queues = await recovery.queues()
    wanted = _wanted(recovery.spec)
    earlier = await recovery.environment.recovery(wanted.name)
    if earlier.uid == recovery.resource.uid:
        raise _nothing(wanted, "is this recovery. Name an earlier one")
    _check_same_queue(recovery.spec, earlier)
    queue, source = recovery.spec.queue, earlier.uid
    if not is_terminal(earlier.status):
        raise AwaitingChange(
            Reason.RECOVERY_NOT_ENDED,
            f'recovery "{wanted.name}" is still {earlier.status.phase or "Pending"}; this one starts when it has ended',
        )
    quarantine = earlier.status.quarantine
    if earlier.spec.restore_from is not None:
        raise _nothing(wanted, f'only put messages of recovery "{earlier.spec.restore_from.name}" back. Name that one')
    if quarantine is None or quarantine.messages == 0:
        raise _nothing(wanted, _why_none_stored(earlier.spec.purge))
    if quarantine.expiration_time and moment(quarantine.expiration_time) <= recovery.environment.now():
        raise RecoveryError(
            Reason.RETENTION_OVER,
            f'the quarantine of recovery "{wanted.name}" expired at {quarantine.expiration_time}. Create a recovery '
            "that lists the jobs, to enqueue them again",
        )
    if earlier.status.ending is not None and earlier.status.ending.reason == Reason.ALREADY_EXECUTED:
        source = quarantine.name.rpartition(":")[2]  # the one that was executed has another UID
    if earlier.spec.queue == EVERY_QUEUE:
        source = f"{source}/{queue}"
        quarantine = quarantine.model_copy(update={"name": f"{quarantine.name}/{queue}"})
    broker = await recovery.broker()
    await broker.check()
    await check_queues(recovery, [queue])
    count = await broker.restorable(queue, wanted_from(wanted, source))
    if count.restore == 0:
        raise _nothing(wanted, why_nothing(wanted, count, queue))
    total = counted(count.found, "message")
    message = f'would put back {count.restore} of {total} in the quarantine of recovery "{wanted.name}"'
    made = Plan(
        time=timestamp(recovery.environment.now()),
        queues=[queue],
        ready=count.found,
        unacked=0,
        restore=count.restore,
        enqueue=0,
        skip=0,
        limits=(await recovery.target()).limits,
        quarantined=await _listed(recovery, wanted_from(wanted, source)),
    )
    await save_plan(
        recovery,
        await ask(recovery, queues, made, source=source),
        (Reason.PLANNED, message),
        {
            "plan": made,
            "restored": RestoredStatus(uid=source, found=count.found, left=count.found),
            "quarantine": quarantine.model_copy(update={"messages": count.found}),
        },
    )


async def restore(recovery: Recovery) -> None:
    """Acquire the queue's lock, put the messages back, and record that the recovery succeeds."""
    if not await mark_executed(recovery):
        return
    await acquire_locks(recovery)
    restored = await (await recovery.run()).restore()
    if restored.restored == 0:
        raise _nothing(
            _wanted(recovery.spec),
            "has no such message any more: another recovery has put it back, or its retention is over",
        )
    message = f"{counted(restored.restored, 'message')} put back, {restored.left} left in the quarantine"
    await recovery.save(
        (ConditionType.RESTORED, "True", Reason.COMPLETED, message),
        progress=(Reason.COMPLETED, message),
        update={
            **restored_counts(recovery.status, restored),
            "ending": Ending(phase="Succeeded", reason=Reason.COMPLETED, message=message),
        },
    )


async def _listed(recovery: Recovery, restore: Restore) -> list[QuarantinedMessage] | None:
    """Describe the first messages that would be put back, for a dry run or an approval; otherwise None."""
    if not (recovery.spec.suspend or await requires_approval(recovery)):
        return None
    found = await (await recovery.broker()).first_restorable(restore, MOST_LISTED)
    return [
        QuarantinedMessage(
            task_id=one.task_id,
            task=one.task,
            retries=one.retries,
            job=None if one.job is None else _job_of(one.job),
            size=one.size,
        )
        for one in found
    ]


def _job_of(key: str) -> str | None:
    """Return the job id in a key as text; None: it has none."""
    found = job_id(key)
    return None if found is None else str(found)


def restored_counts(status: QueueRecoveryStatus, restored: Restored | None) -> Update:
    """Return the status update with the counts of a restore; `restored` is None if nothing was moved."""
    if restored is None or status.restored is None or status.quarantine is None:
        return {}
    found = restored.restored + restored.left
    counts = {"found": found, "restored": restored.restored, "left": restored.left}
    return {
        "restored": status.restored.model_copy(update=counts),
        "quarantine": status.quarantine.model_copy(update={"messages": restored.left}),
    }


def _wanted(spec: QueueRecoverySpec) -> RestoreFrom:
    if spec.restore_from is None:
        raise ValueError("this recovery puts nothing back")
    return spec.restore_from


def _check_same_queue(spec: QueueRecoverySpec, earlier: Earlier) -> None:
    theirs = (earlier.spec.target_ref.name, earlier.spec.queue)
    if theirs not in {(spec.target_ref.name, spec.queue), (spec.target_ref.name, EVERY_QUEUE)}:
        raise RecoveryError(
            Reason.RECOVERY_OF_ANOTHER_QUEUE,
            f'recovery "{_wanted(spec).name}" is of queue "{theirs[1]}" of target "{theirs[0]}". Create a recovery '
            "with that queue and targetRef",
        )


def _nothing(wanted: RestoreFrom, why: str) -> RecoveryError:
    return RecoveryError(Reason.NOTHING_TO_RESTORE, f'restoreFrom: recovery "{wanted.name}" {why}')


def _why_none_stored(purge: PurgeSpec) -> str:
    if purge.mode == "None":
        return "took no messages: its purge.mode is None"
    if purge.retention_seconds == 0:
        return "stored no messages: its purge.retentionSeconds is 0"
    return "took no messages"


def why_nothing(wanted: RestoreFrom, count: Restorable, queue: str) -> str:
    """Return why no message would be put back, and what to do."""
    if not count.took_any:
        return f'took no message of queue "{queue}". Name a queue of which it took messages'
    if count.found == 0:
        return "has an empty quarantine: all messages were put back, or deleted by hand"
    why, remedies = [], []
    if count.again:
        are = "is of a job" if count.again == 1 else "are of jobs"
        why.append(f"{_share(count.again, count.found)} {are} that it has enqueued again")
        ids = named(count.again_ids, total=count.again)
        again = "name the messages that are to run a second time in restoreFrom.taskIds"
        remedies.append(f"{again} ({ids})" if count.again_ids else again)
    if count.unfit:
        share = _share(count.unfit, count.found)
        can = "none can" if share == "all" else f"{share} cannot"
        why.append(f"{can} be made new (without headers of protocol 2, or over 4 MiB)")
        remedies.append("set restoreFrom.as to Original")
    if not why and wanted.task_ids is not None:
        why.append("none with one of the ids in restoreFrom.taskIds")
        remedies.append("correct the ids; without taskIds and with suspend: true, status.plan lists the messages")
    said = f"has {counted(count.found, 'message')} in its quarantine"
    return (
        f"{said}: {', and '.join(why)}. To put messages back, {', or '.join(remedies)}"
        if why
        else f"{said}, none readable"
    )


def _share(part: int, found: int) -> str:
    """Return how many of the messages are meant, as the subject of a clause."""
    if part < found:
        return f"{part}"
    return "it" if found == 1 else "all"
