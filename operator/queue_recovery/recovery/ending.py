"""The ending of every recovery: replicas first, then the final status.

Replicas come first because they depend on the API server alone: a job store that is away never delays them, and a
broker for no more than a second. Entered again at any point, it does the same again to the same effect.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta

from queue_recovery.api.conditions import ConditionType, find, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, QueueRecoveryStatus
from queue_recovery.recovery.backoff import FIRST_DELAY, longer
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.figures import final_ending, final_jobs, final_messages
from queue_recovery.recovery.jobs import ListedJob, listed, task_id
from queue_recovery.recovery.ports import Closed
from queue_recovery.recovery.ports.run import DEFAULT_RETENTION_SECONDS
from queue_recovery.recovery.restart import restore_replicas
from queue_recovery.recovery.restoring import restored_counts
from queue_recovery.recovery.scope import Scope
from queue_recovery.recovery.world import Gone

_LOG = logging.getLogger(__name__)

_REMOVING = (Reason.PURGING, "removing the quarantine, because purge.retentionSeconds is 0")

_PATIENCE_SECONDS = 1.0
"""How long the workers wait for the broker before they come back."""


async def end(scope: Scope) -> None:
    """Bring the workers back, close the runs, settle the jobs, let the locks go, and write the terminal status."""
    if scope.status.drain_start_time is None:
        await scope.finish(scope.status)
        return
    if _holds_workers(scope):
        await _refuse_late_takers(scope)
        await restore_replicas(scope)
        scope.restored = True
    await scope.finish(await _close(scope))


def _holds_workers(scope: Scope) -> bool:
    restarted = is_true(scope.status.conditions, ConditionType.RESTARTED)
    return scope.scales_workers and not scope.restored and not restarted


async def _close(scope: Scope) -> QueueRecoveryStatus:
    """Close the runs, settle the jobs and release the locks; return the status with the final figures."""
    broker = await scope.broker()
    closed = {queue: await broker.close(run) for queue, run in scope.runs.items()}
    jobs = listed(scope.spec)
    expires, retain = _retention(scope)
    in_doubt = await _in_doubt(scope, jobs, closed)
    was_purged = is_true(scope.status.conditions, ConditionType.PURGED)
    if was_purged or any(one.was_purged for one in closed.values()):
        unpushed = [job for job in jobs if job.key not in closed[job.queue].pushed and job.key not in in_doubt]
        ids = [job.id for job in unpushed if job.id is not None]
        if ids:
            await (await scope.job_store()).settle(scope.resource.uid, ids, now=scope.world.now())
    has_lost = bool(in_doubt) or (was_purged and not all(one.was_purged for one in closed.values()))
    retain = retain or has_lost
    status = final_jobs(scope.status, scope.resource.uid, jobs, closed, in_doubt)
    if scope.takes_messages:
        unreplaced = await broker.unreplaced(*scope.runs.values())
        status = final_messages(status, closed.values(), unreplaced, expires if retain else None)
        if unreplaced.count and not retain:
            # It cannot be counted again once the quarantine is removed.
            await scope.save(doing=_REMOVING, update={"messages": status.messages})
    elif status.restored is not None:
        status = status.model_copy(update=restored_counts(status, closed[scope.spec.queue].restored))
    for run in scope.runs.values():
        await broker.release(run, expires=expires, retain=retain)
    ending = final_ending(status, len(in_doubt), has_lost=has_lost, scales_workers=scope.scales_workers)
    return status.model_copy(update={"ending": ending})


async def end_cut_off(scope: Scope, error: RecoveryError) -> None:
    """End a deleted recovery whose way to the broker was deleted too, by its target or its whole namespace.

    What the broker still holds can be reached with what was read before, or the next recovery of the queue takes it
    over (`takeover.py`).
    """
    try:
        status = await _close(scope)
    except RecoveryError:
        message = (
            f"its broker cannot be reached any more, so the next recovery of the queue ends its run: {error.message}"
        )
        ending = scope.status.ending and scope.status.ending.model_copy(update={"message": message})
        status = scope.status.model_copy(update={"ending": ending})
    await scope.finish(status)


async def end_removed(scope: Scope) -> None:
    """End a recovery whose resource was removed by force, without its status.

    Its workers are brought back however long that takes: nobody but this process knows of them. What it holds in the
    broker is ended if that can be done at once; the next recovery of the queue takes it over otherwise (`takeover.py`).
    """
    if scope.status.drain_start_time is None or scope.status.completion_time is not None:
        return
    removed = Ending(phase="Cancelled", reason=Reason.DELETED, message="removed by force while it was running")
    scope.status = scope.status.model_copy(update={"ending": scope.status.ending or removed})
    if _holds_workers(scope):
        await _refuse_late_takers(scope)
        await _scale_back_in_the_end(scope)
        scope.restored = True
    with suppress(RecoveryError, Gone):
        await end(scope)


async def _scale_back_in_the_end(scope: Scope) -> None:
    """Give the workers their replicas back, and try again until that has succeeded or they are gone."""
    about = {"namespace": scope.resource.namespace, "recovery": scope.resource.name, "reason": Reason.DELETED}
    delay, said = FIRST_DELAY, ""
    while True:
        try:
            await restore_replicas(scope)
        except RecoveryError as error:
            with suppress(RecoveryError):
                if await scope.world.is_terminating():
                    return
            if error.message != said:
                _LOG.warning("removed by force, and its workers are still at 0: %s", error, extra=about)
            said = error.message
        else:
            if said:
                _LOG.info("removed by force; its workers have their replicas again", extra=about)
            return
        await scope.world.pause(delay)
        delay = longer(delay)


async def _refuse_late_takers(scope: Scope) -> None:
    """Let no other process take messages any more that workers hold by right again; best effort, within a second.

    A broker that is away holds the workers up no longer than that, and nobody can take anything from it either.
    """
    with suppress(TimeoutError, RecoveryError):
        async with asyncio.timeout(_PATIENCE_SECONDS):
            broker = await scope.broker()
            for run in scope.runs.values():
                await broker.refuse(run)


async def _in_doubt(scope: Scope, jobs: Sequence[ListedJob], closed: Mapping[str, Closed]) -> frozenset[str]:
    """Return the keys of the jobs of which it is not possible to determine whether they were enqueued.

    Their marker is gone: all of a queue's when the broker does not know any more that it passed the boundary; else
    those that were enqueued, as the status says. A job that was never claimed was never enqueued.
    """
    if find(scope.status.conditions, ConditionType.REENQUEUED) is None:
        return frozenset()
    known = {row.id for row in scope.status.skipped}
    unmarked = [job for job in jobs if job.key not in closed[job.queue].pushed and job.label not in known]
    if is_true(scope.status.conditions, ConditionType.REENQUEUED):
        return frozenset(job.key for job in unmarked)
    doubtful = [job for job in unmarked if not closed[job.queue].was_purged]
    task_ids = {job.id: task_id(scope.resource.uid, job) for job in doubtful if job.id is not None}
    if not task_ids:
        return frozenset(job.key for job in doubtful)
    never = await (await scope.job_store()).fence(scope.resource.uid, task_ids, now=scope.world.now())
    return frozenset(job.key for job in doubtful if job.id not in never)


def _retention(scope: Scope) -> tuple[datetime, bool]:
    """Return when the quarantine ends, and whether it is kept until then."""
    succeeded = scope.status.ending is not None and scope.status.ending.phase == "Succeeded"
    seconds = scope.spec.purge.retention_seconds
    if seconds == 0 and succeeded:
        return scope.world.now(), False
    return scope.world.now() + timedelta(seconds=seconds or DEFAULT_RETENTION_SECONDS), True
