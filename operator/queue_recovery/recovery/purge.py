"""Purging: move the messages into the quarantine, up to one exact boundary for each queue."""

from functools import partial

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.api.recovery_status import PurgeStatus, Quarantine
from queue_recovery.recovery.drain import drain_held, stop_workers
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.figures import count_messages
from queue_recovery.recovery.jobs import listed
from queue_recovery.recovery.ledger import mark_executed
from queue_recovery.recovery.ports import QueueRun
from queue_recovery.recovery.progress import with_progress
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.skips import skipped_jobs
from queue_recovery.recovery.status import Update
from queue_recovery.recovery.steps import begun_after
from queue_recovery.recovery.vanished import refuse_survivors
from queue_recovery.recovery.wording import counted


async def purge(recovery: Recovery) -> None:
    """Take all or the selected messages of the queues, and write their counts to the status."""
    run = await recovery.run()
    if not recovery.takes_messages:
        await run.pass_boundary()
        if recovery.restarts_workers:
            await recovery.save(
                (ConditionType.PURGED, "True", Reason.NOT_NEEDED, "purge.mode is None, so every message stays"),
                (ConditionType.RESTARTED, "False", Reason.RESTARTING, "restarting the workers"),
                progress=(Reason.RESTARTING, "restarting the workers"),
            )
            return
        begun = begun_after(recovery, ConditionType.RESTARTED)
        await recovery.save(
            (ConditionType.PURGED, "True", Reason.NOT_NEEDED, "purge.mode is None, so every message stays"),
            (ConditionType.RESTARTED, "True", Reason.NOT_NEEDED, "purge.mode is None, so no worker was stopped"),
            begun.condition,
            progress=begun.progress,
        )
        return
    if not await mark_executed(recovery):
        return
    jobs = [job for job in listed(recovery.spec) if job.id is not None]  # the jobs that the drain has frozen
    refuse_survivors(await (await recovery.broker()).consumers() or (), recovery.last_seen, recovery.environment.now())
    try:
        taken = await with_progress(
            recovery,
            run.take(recovery.status.purge.attempt, frozen=[job.key for job in jobs]),
            partial(_progress, recovery, run),
        )
    except RecoveryError as error:
        waits = error.outcome is Outcome.NOT_YET
        if waits and recovery.still_drained is None and not await drain_held(recovery):
            # The attempt is completed although workers started. Their new generation leads to another purge attempt,
            # which takes the messages that went back to the lists after the boundary.
            await stop_workers(recovery)
        raise
    if not await drain_held(recovery):
        await _drain_again(recovery, {"purge": PurgeStatus(attempt=recovery.status.purge.attempt + 1)})
        return
    messages = count_messages(taken)
    message = f"{counted(messages.quarantined, 'message')} quarantined"
    if recovery.spec.purge.select or taken.left:
        message += f"; {taken.left} left in the queue"
    if taken.oversized:
        verb = "is" if taken.oversized == 1 else "are"
        message += f"; {taken.oversized} of these {verb} larger than 4 MiB, so no headers were read"
    if taken.undecodable:
        entries = "1 entry" if taken.undecodable == 1 else f"{taken.undecodable} entries"
        message += f"; {entries} of unacked cannot be read and cannot be attributed to a queue, left in place"
    back = "scaling the workers back" if recovery.scales_workers else "waiting until the workers are scaled up"
    await recovery.save(
        (ConditionType.PURGED, "True", Reason.COMPLETED, message),
        (ConditionType.RESTARTED, "False", Reason.RESTARTING, back),
        progress=(Reason.RESTARTING, f"{message}; {back}"),
        update={
            "messages": messages,
            "quarantine": Quarantine(name=taken.quarantine, messages=messages.quarantined),
            "skipped": list(skipped_jobs(jobs, taken.seen, taken.left_ids, await recovery.recoverable()).values()),
        },
    )


async def _progress(recovery: Recovery, run: QueueRun) -> tuple[str, str]:
    """Report how many messages were taken or left; there may be more than the plan counted."""
    moved = await run.moved()
    planned = recovery.status.plan.ready + recovery.status.plan.unacked if recovery.status.plan else 0
    of = f" of {max(moved, planned)}" if planned else ""
    return Reason.PURGING, f"moving the messages into the quarantine: {moved}{of}"


async def _drain_again(recovery: Recovery, update: Update) -> None:
    message = "workers started before the queue was taken; stopping them again for another purge attempt"
    await recovery.save(
        (ConditionType.DRAINED, "False", Reason.WORKER_CHANGED, message),
        progress=(Reason.WORKER_CHANGED, f"{message}. If a GitOps tool or an autoscaler started them, pause it"),
        update=update,
    )
