"""Which listed jobs are not enqueued, and why. Pure.

One ordered chain of rules is applied to a job at the plan, after the purge and before the job is enqueued, so the plan
agrees with the result (modelled on cert-manager's policy chains). Other functions return the rows of jobs that are
skipped later: at their claim, and when the recovery finishes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.jobs import ListedJob, task_id
from queue_recovery.recovery.ports import SeenJob, StoredJob
from queue_recovery.recovery.wording import quoted


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The input of the rules: a job that is listed by id, and its state."""

    job: ListedJob
    seen: SeenJob | None
    """The state of its document at the plan or when frozen; None: it had no document."""
    left_ids: Collection[str]
    """Task ids whose messages stay in the queue."""
    recoverable: Collection[str]
    """Statuses of jobs that may be enqueued now."""
    known: SkippedJob | None
    """Its row in the status, if it has one."""

    @property
    def is_left(self) -> bool:
        """Whether its message stays in the queue."""
        return self.seen is not None and self.seen.task_id is not None and self.seen.task_id in self.left_ids


Rule = Callable[[Evidence], SkippedJob | None]


def was_skipped(evidence: Evidence) -> SkippedJob | None:
    """Skip a job that an earlier step has skipped: a decision with stopped workers is final."""
    known = evidence.known
    return known if known is not None and known.reason in _REASONS else None


def is_gone(evidence: Evidence) -> SkippedJob | None:
    """Skip a job without a document."""
    return skip(evidence.job, Reason.NOT_FOUND, "its document is gone") if evidence.seen is None else None


def is_not_recoverable(evidence: Evidence) -> SkippedJob | None:
    """Skip a job whose status is not recoverable now, or was not when it was frozen."""
    seen = evidence.seen
    if seen is None or (seen.recoverable and seen.status in evidence.recoverable):
        return None
    status = "no status" if seen.status is None else f'status "{seen.status}"'
    left = ", its message stays in the queue" if evidence.is_left else ""
    message = f"{status} (recoverable: {quoted(evidence.recoverable) or 'none'}){left}"
    return skip(evidence.job, Reason.NOT_RECOVERABLE, message)


def is_still_queued(evidence: Evidence) -> SkippedJob | None:
    """Skip a job whose message stays in the queue, because a worker will run that message."""
    if evidence.seen is None or not evidence.is_left:
        return None
    return skip(evidence.job, Reason.STILL_QUEUED, f'its message "{evidence.seen.task_id}" is still in the queue')


RULES: Final[Sequence[Rule]] = (was_skipped, is_gone, is_not_recoverable, is_still_queued)
"""The first rule that applies decides; if none applies, the job is enqueued."""

_REASONS: Final = frozenset({Reason.NOT_FOUND, Reason.NOT_RECOVERABLE, Reason.STILL_QUEUED})
"""The reasons of these rules."""


def seen_as(document: StoredJob | None, recoverable: Collection[str]) -> SeenJob | None:
    """Return the state of a job's document to freeze; `recoverable`: the statuses that may be enqueued."""
    if document is None:
        return None
    return SeenJob(status=document.status, task_id=document.task_id, recoverable=document.status in recoverable)


def skipped_jobs(
    jobs: Iterable[ListedJob],
    seen: Mapping[str, SeenJob | None],
    left_ids: Collection[str],
    recoverable: Collection[str],
    known: Iterable[SkippedJob] = (),
) -> dict[str, SkippedJob]:
    """Return the jobs that are not enqueued, by their keys.

    Args:
        jobs: of the recovery; jobs that are written out are always enqueued.
        seen: the state of their documents, by key; None: there was no document.
        left_ids: the task ids whose messages stay in the queue.
        recoverable: the statuses that may be enqueued now.
        known: rows that are already in the status.
    """
    rows = {row.id: row for row in known}
    skipped = {}
    for job in jobs:
        if job.id is None:
            continue
        evidence = Evidence(
            job=job, seen=seen[job.key], left_ids=left_ids, recoverable=recoverable, known=rows.get(job.label)
        )
        row = next((row for rule in RULES if (row := rule(evidence)) is not None), None)
        if row is not None:
            skipped[job.key] = row
    return skipped


def gone_since(job: ListedJob) -> SkippedJob:
    """Return the row of a job whose document was removed after the drain."""
    return skip(job, Reason.CHANGED_MEANWHILE, "its document is gone")


def refused_since(job: ListedJob, why: str) -> SkippedJob:
    """Return the row of a job from which no task can be made any more."""
    return skip(job, Reason.CHANGED_MEANWHILE, why)


def not_approved(job: ListedJob, tasks: Collection[str]) -> SkippedJob:
    """Return the row of a job whose task is not one of those that were approved."""
    return skip(job, Reason.NOT_APPROVED, f"its document names another task than those approved: {quoted(tasks)}")


def changed_since(job: ListedJob) -> SkippedJob:
    """Return the row of a job that could not be claimed."""
    return skip(job, Reason.CHANGED_MEANWHILE, "another client has changed its document since the drain")


def in_doubt(job: ListedJob, uid: str) -> SkippedJob:
    """Return the row of a job that may or may not have been enqueued."""
    lost = "the broker has lost its record, so it may or may not have been enqueued"
    return skip(job, Reason.IN_DOUBT, f"task {task_id(uid, job)}: {lost}")


def not_attempted(job: ListedJob) -> SkippedJob:
    """Return the row of a job that the recovery did not attempt before it ended."""
    return skip(job, Reason.NOT_ATTEMPTED, "the recovery ended before this job was attempted")


def skip(job: ListedJob, reason: Reason, message: str) -> SkippedJob:
    """Return the row of a job that is not enqueued."""
    return SkippedJob(id=job.label, reason=reason, message=message)
