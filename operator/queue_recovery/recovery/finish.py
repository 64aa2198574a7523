"""Finishing a recovery: scale back first, write the final status last.

Scaling back is first because it depends on the API server alone: no error of the job store delays it, and the
broker delays it by at most a second, no matter what it answers. Every step is idempotent and may be entered again at
any point.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from queue_recovery.api.conditions import ConditionType, find, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, QueueRecoveryStatus
from queue_recovery.recovery.backoff import FIRST_DELAY, jittered, longer
from queue_recovery.recovery.best_effort import best_effort, log_unexpected
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.figures import final_ending, final_jobs, final_messages, final_redelivered
from queue_recovery.recovery.frozen_jobs import store_of
from queue_recovery.recovery.jobs import ListedJob, listed, task_id
from queue_recovery.recovery.ledger import as_copy, record_outcome
from queue_recovery.recovery.ports import Closed
from queue_recovery.recovery.ports.resource import Gone
from queue_recovery.recovery.ports.run import DEFAULT_RETENTION_SECONDS
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.restore import restored_counts
from queue_recovery.recovery.rollout_restart import describe_unfinished, is_restarting, refuse_late_restarts
from queue_recovery.recovery.scale_back import describe_still_paused, mark_scaled_back, scale_back_at_end

_LOG = logging.getLogger(__name__)

_REMOVING = (Reason.PURGING, "removing the quarantine, because purge.retentionSeconds is 0")

_BROKER_TIMEOUT_SECONDS = 1.0
"""How long scaling back waits for the broker."""


async def end(recovery: Recovery) -> None:
    """Scale back, close the runs, settle the jobs, release the locks, write the outcome and the final status."""
    if recovery.status.drain_start_time is None:
        status = await as_copy(recovery)
        await record_outcome(recovery, status)
        await recovery.finish(status)
        return
    if _holds_workers(recovery):
        if not recovery.scaled_back:
            await _refuse_late_takes(recovery)
        await scale_back_at_end(recovery)
    if is_restarting(recovery) and not recovery.scaled_back:
        await refuse_late_restarts(recovery)
        mark_scaled_back(recovery)
    status = await _close(recovery)
    await record_outcome(recovery, status)
    await recovery.finish(status)


def _holds_workers(recovery: Recovery) -> bool:
    restarted = is_true(recovery.status.conditions, ConditionType.RESTARTED)
    is_done = recovery.scaled_back and recovery.still_paused == frozenset()
    return recovery.scales_workers and not is_done and not restarted


async def _close(recovery: Recovery) -> QueueRecoveryStatus:
    """Close the runs, settle the jobs and release the locks; return the status with the final figures."""
    run = await recovery.run()
    closed = await run.close()
    jobs = listed(recovery.spec)
    expires, retain = _retention(recovery)
    in_doubt = await _in_doubt(recovery, jobs, closed)
    was_purged = is_true(recovery.status.conditions, ConditionType.PURGED)
    if was_purged or closed.was_purged:
        unpushed = [job for job in jobs if job.key not in closed.pushed and job.key not in in_doubt]
        ids = [job.id for job in unpushed if job.id is not None]
        if ids:
            store = await store_of(recovery, unpushed)
            await store.settle(recovery.resource.uid, ids, now=recovery.environment.now())
    has_lost = bool(in_doubt) or (was_purged and bool(closed.unpurged))
    retain = retain or has_lost
    status = final_jobs(recovery.status, recovery.resource.uid, jobs, closed, in_doubt)
    if recovery.takes_messages:
        unreplaced = await run.unreplaced()
        status = final_messages(status, closed.taken, unreplaced, expires if retain else None)
        if unreplaced.count and not retain:
            # The messages cannot be counted again once the quarantine is removed.
            await recovery.save(progress=_REMOVING, update={"messages": status.messages})
    elif status.restored is not None:
        status = status.model_copy(update=restored_counts(status, closed.restored))
    status = final_redelivered(status, closed.redelivered)
    await run.release(expires=expires, retain=retain)
    ending = final_ending(
        status, len(in_doubt), has_lost=has_lost, lost=closed.lost, scales_workers=recovery.scales_workers
    )
    for left in filter(None, (describe_unfinished(recovery), describe_still_paused(recovery))):
        ending = ending.model_copy(update={"message": f"{ending.message.rstrip('.')}. {left}"})
    return status.model_copy(update={"ending": ending})


async def end_cut_off(recovery: Recovery, error: RecoveryError) -> None:
    """Finish a deleted recovery whose target or namespace was deleted too.

    If the URL was read before, its run is closed. Otherwise the next recovery of the queue takes the run over
    (`takeover.py`).
    """
    is_closed = False
    try:
        status = await _close(recovery)
        is_closed = True
    except RecoveryError:
        message = (
            "the broker is no longer reachable, so the next recovery of this queue has to release the lock: "
            f"{error.message}"
        )
        if left := describe_still_paused(recovery):
            message = f"{message}. {left}"
        ending = recovery.status.ending and recovery.status.ending.model_copy(update={"message": message})
        status = recovery.status.model_copy(update={"ending": ending})
    await record_outcome(recovery, status, are_figures_final=is_closed)
    await recovery.finish(status)


async def end_removed(recovery: Recovery) -> None:
    """Finish a recovery whose resource was removed by force, so that it has no status to write.

    The workers are scaled back no matter how long that takes, because only this process has a record of them. The run
    is closed if the broker answers at once; otherwise the next recovery of the queue takes it over (`takeover.py`).
    """
    if recovery.status.drain_start_time is None or recovery.status.completion_time is not None:
        return
    removed = Ending(
        phase="Cancelled", reason=Reason.DELETED, message="the recovery was removed by force while it was running"
    )
    recovery.status = recovery.status.model_copy(update={"ending": recovery.status.ending or removed})
    if _holds_workers(recovery):
        await _refuse_late_takes(recovery)
        await _scale_back_with_retries(recovery)
    with best_effort(recovery, "ending a recovery that was removed by force"), suppress(Gone):
        await end(recovery)


async def _scale_back_with_retries(recovery: Recovery) -> None:
    """Scale the workers back, and try again until that succeeds or they are gone."""
    about = {"namespace": recovery.resource.namespace, "recovery": recovery.resource.name, "reason": Reason.DELETED}
    delay, said = FIRST_DELAY, ""
    while True:
        try:
            await scale_back_at_end(recovery)
        except Exception as error:  # noqa: BLE001  # no other process would try again
            with best_effort(recovery, "reading the namespace"):
                if await recovery.environment.is_terminating():
                    recovery.still_paused = frozenset()  # they go with the namespace
                    mark_scaled_back(recovery)
                    return
            why = str(error) if isinstance(error, RecoveryError) else f"unexpected {type(error).__name__}"
            if why != said:
                what = "KEDA is still paused" if recovery.scaled_back else "its workers are still at 0"
                _LOG.warning("the recovery was removed by force, and %s: %s", what, why, extra=about)
                if not isinstance(error, RecoveryError):
                    log_unexpected(recovery, "scaling back", error)
            said = why
        else:
            if left := describe_still_paused(recovery):
                _LOG.warning("the recovery was removed by force. %s", left, extra=about)
            if said:
                _LOG.info("the recovery was removed by force, and its workers are scaled back", extra=about)
            return
        await recovery.environment.pause(jittered(delay))
        delay = longer(delay)


async def _refuse_late_takes(recovery: Recovery) -> None:
    """Refuse other processes that still take messages; best effort, within a second.

    Once the workers are scaled back, the messages in `unacked` are theirs. A broker that does not answer, or whose
    answer the driver does not understand, delays the workers by no more than the second. Closing the run refuses the
    others too.
    """
    with best_effort(recovery, "refusing late takes"):
        async with asyncio.timeout(_BROKER_TIMEOUT_SECONDS):
            await (await recovery.run()).refuse()


async def _in_doubt(recovery: Recovery, jobs: Sequence[ListedJob], closed: Closed) -> frozenset[str]:
    """Return the keys of the jobs that may or may not have been enqueued.

    The broker has lost their markers: those of a whole queue, if it has lost the record that the queue passed the
    boundary, or those of jobs that the status counts as enqueued. A job that was never claimed was never enqueued.
    """
    if find(recovery.status.conditions, ConditionType.REENQUEUED) is None:
        return frozenset()
    known = {row.id for row in recovery.status.skipped}
    unmarked = [job for job in jobs if job.key not in closed.pushed and job.label not in known]
    if is_true(recovery.status.conditions, ConditionType.REENQUEUED):
        return frozenset(job.key for job in unmarked)
    doubtful = [job for job in unmarked if job.queue in closed.unpurged]
    task_ids = {job.id: task_id(recovery.resource.uid, job) for job in doubtful if job.id is not None}
    if not task_ids:
        return frozenset(job.key for job in doubtful)
    store = await store_of(recovery, doubtful)
    never = await store.fence(recovery.resource.uid, task_ids, now=recovery.environment.now())
    return frozenset(job.key for job in doubtful if job.id not in never)


def _retention(recovery: Recovery) -> tuple[datetime, bool]:
    """Return when the quarantine expires, and whether it is retained until then."""
    succeeded = recovery.status.ending is not None and recovery.status.ending.phase == "Succeeded"
    seconds = recovery.spec.purge.retention_seconds
    if seconds == 0 and succeeded:
        return recovery.environment.now(), False
    return recovery.environment.now() + timedelta(seconds=seconds or DEFAULT_RETENTION_SECONDS), True
