"""Listed jobs whose own message stays in the queue: they run anyway, so they are not enqueued again."""

from collections.abc import Collection, Iterable, Mapping

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import SkippedJob
from queue_recovery.recovery.drain import freeze
from queue_recovery.recovery.jobs import ListedJob, listed
from queue_recovery.recovery.scope import Scope


async def seen_task_ids(scope: Scope) -> Mapping[str, str]:
    """Return the task id of each job by its label, as it was when nothing ran; the drain has written them all down."""
    jobs = [job for job in listed(scope.spec) if job.id is not None]
    if not jobs:
        return {}
    frozen = await freeze(scope, jobs, {})
    seen = {job.label: frozen[job.key] for job in jobs}
    return {label: found.task_id for label, found in seen.items() if found and found.task_id}


def with_still_queued(
    known: Iterable[SkippedJob], task_ids: Mapping[str, str], kept: Collection[str]
) -> list[SkippedJob]:
    """Return the rows of the jobs that are known to be skipped, and of those whose message was kept."""
    rows = {row.id: row for row in known}
    for label, task_id in task_ids.items():
        if task_id in kept:
            rows.setdefault(label, still_queued(label, task_id))
    return list(rows.values())


def known_still_queued(scope: Scope, jobs: Iterable[ListedJob]) -> dict[str, SkippedJob]:
    """Return the rows, by the jobs' keys, that the status has of them: what was found while nothing ran holds."""
    rows = {row.id: row for row in scope.status.skipped if row.reason == Reason.STILL_QUEUED}
    return {job.key: rows[job.label] for job in jobs if job.label in rows}


def still_queued(label: str, task_id: str) -> SkippedJob:
    """Return the row of a job whose message is there."""
    return SkippedJob(id=label, reason=Reason.STILL_QUEUED, message=f"its message {task_id} is still in the queue")
