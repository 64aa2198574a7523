"""Which listed jobs are not enqueued, and why: the same rules for the plan, the purge and the enqueuing. Pure."""

from collections.abc import Collection, Iterable, Mapping

from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.jobs import ListedJob
from queue_recovery.recovery.ports import SeenJob, StoredJob

_REASONS = frozenset({Reason.NOT_FOUND, Reason.NOT_RECOVERABLE, Reason.STILL_QUEUED})


def seen_as(document: StoredJob | None, recoverable: Collection[str]) -> SeenJob | None:
    """Return what is remembered of a job's document; `recoverable`: the statuses that may be enqueued."""
    if document is None:
        return None
    return SeenJob(status=document.status, task_id=document.task_id, recoverable=document.status in recoverable)


def skipped_jobs(
    jobs: Iterable[ListedJob],
    seen: Mapping[str, SeenJob | None],
    left_ids: Collection[str],
    recoverable: Collection[str],
) -> dict[str, SkippedJob]:
    """Return the jobs that are not enqueued, by their keys.

    Args:
        jobs: those of the recovery; one that is written out is always enqueued.
        seen: what their documents looked like, by key; None: there was none.
        left_ids: the task ids whose messages stay in the queue.
        recoverable: the statuses that may be enqueued now; what was not recoverable when it was seen is not either.
    """
    skipped = {}
    for job in jobs:
        if job.id is None:
            continue
        found = seen[job.key]
        if found is None:
            skipped[job.key] = skip(job, Reason.NOT_FOUND, "its document is gone")
            continue
        is_left = found.task_id is not None and found.task_id in left_ids
        if not found.recoverable or found.status not in recoverable:
            left = ", its message stays in the queue" if is_left else ""
            status = "no status" if found.status is None else f'status "{found.status}"'
            message = f"{status} (recoverable: {', '.join(recoverable)}){left}"
            skipped[job.key] = skip(job, Reason.NOT_RECOVERABLE, message)
        elif is_left:
            skipped[job.key] = skip(job, Reason.STILL_QUEUED, f"its message {found.task_id} is still in the queue")
    return skipped


def skip(job: ListedJob, reason: Reason, message: str) -> SkippedJob:
    """Return the row of a job that is not enqueued."""
    return SkippedJob(id=job.label, reason=reason, message=message)


def known_skips(jobs: Iterable[ListedJob], rows: Iterable[SkippedJob]) -> dict[str, SkippedJob]:
    """Return those of a status's rows that `skipped_jobs` has made, by the jobs' keys."""
    by_label = {row.id: row for row in rows if row.reason in _REASONS}
    return {job.key: by_label[job.label] for job in jobs if job.id is not None and job.label in by_label}
