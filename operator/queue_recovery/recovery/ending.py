"""The ending of every recovery: replicas first, then the final status.

Replicas come first because they depend on the API server alone: a job store that is away never delays them, and a
broker for no more than a second. Entered again at any point, it does the same again to the same effect.
"""

import asyncio
import logging
import operator
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from functools import reduce

from queue_recovery.api.conditions import ConditionType, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, JobTotals, Quarantine, SkippedJob
from queue_recovery.recovery.backoff import FIRST_DELAY, longer
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.jobs import ListedJob, listed
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Closed
from queue_recovery.recovery.ports.run import DEFAULT_RETENTION_SECONDS
from queue_recovery.recovery.purge import count_messages
from queue_recovery.recovery.restart import restore_replicas
from queue_recovery.recovery.restoring import restored_counts
from queue_recovery.recovery.scope import Scope, Update
from queue_recovery.recovery.world import Gone

_LOG = logging.getLogger(__name__)

_PATIENCE_SECONDS = 1.0
"""How long the workers wait for the broker before they come back."""


async def end(scope: Scope) -> None:
    """Bring the workers back, close the runs, settle the jobs, let the locks go, and write the terminal status."""
    if scope.status.drain_start_time is None:
        await scope.finish({})
        return
    if _holds_workers(scope):
        await _refuse_late_takers(scope)
        await restore_replicas(scope)
        scope.restored = True
    await scope.finish(await _close(scope))


def _holds_workers(scope: Scope) -> bool:
    restarted = is_true(scope.status.conditions, ConditionType.RESTARTED)
    return scope.scales_workers and not scope.restored and not restarted


async def _close(scope: Scope) -> Update:
    """Close the runs, settle the jobs and let the locks go; return the final figures."""
    broker = await scope.broker()
    closed = {queue: await broker.close(run) for queue, run in scope.runs.items()}
    jobs = listed(scope.spec)
    expires, keep = _retention(scope)
    in_doubt = _in_doubt(scope, jobs, closed)
    if not in_doubt and any(one.was_purged for one in closed.values()):
        unpushed = [job.id for job in jobs if job.id is not None and job.key not in closed[job.queue].pushed]
        if unpushed:
            await (await scope.job_store()).settle(scope.resource.uid, unpushed, now=scope.world.now())
    for run in scope.runs.values():
        await broker.release(run, expires=expires, keep=keep or bool(in_doubt))
    figures = _final_figures(scope, jobs, closed, expires, keep=keep)
    return {**figures, **_lost_data(scope, jobs, in_doubt)} if in_doubt else figures


async def end_cut_off(scope: Scope, error: RecoveryError) -> None:
    """End a deleted recovery whose way to the broker was deleted too, by its target or its whole namespace.

    What the broker still holds can be reached with what was read before, or the next recovery of the queue takes it
    over (`takeover.py`).
    """
    try:
        update = await _close(scope)
    except RecoveryError:
        message = (
            f"its broker cannot be reached any more, so the next recovery of the queue ends its run: {error.message}"
        )
        ending = scope.status.ending
        update = {} if ending is None else {"ending": ending.model_copy(update={"message": message})}
    await scope.finish(update)


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
    delay, said = FIRST_DELAY, ""
    while True:
        try:
            await restore_replicas(scope)
        except RecoveryError as error:
            with suppress(RecoveryError):
                if await scope.world.is_terminating():
                    return
            if error.message != said:
                _LOG.warning("%s: removed by force, and its workers are still at 0: %s", scope.full_name, error)
            said = error.message
        else:
            if said:
                _LOG.info("%s: removed by force; its workers have their replicas again", scope.full_name)
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


def _in_doubt(scope: Scope, jobs: list[ListedJob], closed: Mapping[str, Closed]) -> list[ListedJob]:
    """Return the jobs whose marker is gone, so that nobody can tell whether they were enqueued.

    All of a queue's when the broker does not know any more that it passed the boundary; else those that were enqueued,
    as the status says, and have no marker.
    """
    known = {row.id for row in scope.status.skipped}
    unmarked = [job for job in jobs if job.key not in closed[job.queue].pushed and job.label not in known]
    if is_true(scope.status.conditions, ConditionType.REENQUEUED):
        return unmarked
    was_purged = is_true(scope.status.conditions, ConditionType.PURGED)
    return [job for job in unmarked if was_purged and not closed[job.queue].was_purged]


def _lost_data(scope: Scope, jobs: list[ListedJob], in_doubt: list[ListedJob]) -> Update:
    """Return the ending of a recovery whose markers the broker has lost; its jobs are named, never guessed."""
    message = (
        f"the broker has lost records of this recovery (a failover, or a restart without its data): it is not "
        f"possible to determine whether {len(in_doubt)} jobs were enqueued; compare their task ids with what your "
        "workers ran"
    )
    doubt = "the broker lost its marker: it may or may not have been enqueued"
    known = {row.id: row for row in scope.status.skipped}
    known |= {job.label: SkippedJob(id=job.label, reason=Reason.IN_DOUBT, message=doubt) for job in in_doubt}
    return {
        "ending": Ending(phase="Failed", reason=Reason.BROKER_LOST_DATA, message=message),
        "skipped": [known[job.label] for job in jobs if job.label in known],
    }


def _retention(scope: Scope) -> tuple[datetime, bool]:
    """Return when the quarantine ends, and whether it is kept until then."""
    succeeded = scope.status.ending is not None and scope.status.ending.phase == "Succeeded"
    seconds = scope.spec.purge.retention_seconds
    if seconds == 0 and succeeded:
        return scope.world.now(), False
    return scope.world.now() + timedelta(seconds=seconds or DEFAULT_RETENTION_SECONDS), True


def _final_figures(
    scope: Scope, jobs: list[ListedJob], closed: Mapping[str, Closed], expires: datetime, *, keep: bool
) -> Update:
    """Return the final figures: what was enqueued, a row for each job that was not, and the quarantine's end."""
    known = {row.id: row for row in scope.status.skipped}
    never = "the recovery ended before it was this job's turn"
    rows = [
        known.get(job.label) or SkippedJob(id=job.label, reason=Reason.NOT_ATTEMPTED, message=never)
        for job in jobs
        if job.key not in closed[job.queue].pushed
    ]
    pushed = sum(len(one.pushed) for one in closed.values())
    update: Update = {
        "jobs": JobTotals.counted(len(jobs), enqueued=pushed, skipped=len(rows)),
        "skipped": rows,
    }
    if scope.status.restored is not None:
        update |= restored_counts(scope.status, closed[scope.spec.queue].restored)
    takens = [one.taken for one in closed.values() if one.taken is not None]
    if takens and scope.takes_messages:
        taken = reduce(operator.add, takens)
        messages = count_messages(taken)
        update["messages"] = messages
        update["quarantine"] = (
            Quarantine(name=taken.quarantine, messages=messages.quarantined, expiration_time=timestamp(expires))
            if keep
            else None
        )
    return update
