"""Which listed jobs are not enqueued, and what their rows say."""

import pytest

from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.recovery.jobs import ListedJob, listed
from queue_recovery.recovery.ports import SeenJob, StoredJob
from queue_recovery.recovery.skips import seen_as, skipped_jobs

RECOVERABLE = ["failed", "error"]


def jobs(*ids: str) -> list[ListedJob]:
    written = [{"id": one} if one else {"task": "tts.render"} for one in ids]
    return listed(QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", "jobs": written}))


def found(status: str | None, task_id: str | None = "t") -> SeenJob | None:
    stored = StoredJob(id="a", status=status, task_id=task_id, task=None, args=None, kwargs=None)
    return seen_as(stored, RECOVERABLE)


@pytest.mark.parametrize(
    ("seen", "left", "row"),
    [
        (found("failed"), set(), None),
        (found("failed", None), {"other"}, None),
        (found("failed"), {"t"}, (Reason.STILL_QUEUED, 'its message "t" is still in the queue')),
        (None, set(), (Reason.NOT_FOUND, "its document is gone")),
        (found("done"), set(), (Reason.NOT_RECOVERABLE, 'status "done" (recoverable: "failed", "error")')),
        (
            found("pending"),
            {"t"},
            (
                Reason.NOT_RECOVERABLE,
                'status "pending" (recoverable: "failed", "error"), its message stays in the queue',
            ),
        ),
        (found(None), set(), (Reason.NOT_RECOVERABLE, 'no status (recoverable: "failed", "error")')),
    ],
)
def test_one_rule_after_the_other(seen: SeenJob | None, left: set[str], row: tuple[Reason, str] | None) -> None:
    (job,) = jobs("a")

    skipped = skipped_jobs([job], {job.key: seen}, left, RECOVERABLE)

    assert [(one.reason, one.message) for one in skipped.values()] == ([] if row is None else [row])


def test_what_was_not_recoverable_when_nothing_ran_is_not_when_the_target_has_changed_and_the_other_way_round() -> None:
    (job,) = jobs("a")
    pending, failed = found("pending"), found("failed")

    assert skipped_jobs([job], {job.key: pending}, set(), [*RECOVERABLE, "pending"])
    assert skipped_jobs([job], {job.key: failed}, set(), ["error"])


def test_a_job_that_is_written_out_is_never_skipped() -> None:
    assert skipped_jobs(jobs(""), {}, {"t"}, RECOVERABLE) == {}


def test_only_rows_of_these_rules_hold_the_next_time() -> None:
    listed_jobs = jobs("a", "b", "c")
    seen = {job.key: found("failed") for job in listed_jobs}
    rows = [
        SkippedJob(id="a", reason=Reason.NOT_RECOVERABLE),
        SkippedJob(id="b", reason=Reason.CHANGED_MEANWHILE),
        SkippedJob(id="gone", reason=Reason.NOT_FOUND),
    ]

    assert skipped_jobs(listed_jobs, seen, set(), RECOVERABLE, rows) == {listed_jobs[0].key: rows[0]}


def test_what_was_known_goes_first_then_the_document_then_its_status_then_the_message() -> None:
    (job,) = jobs("a")
    known = SkippedJob(id="a", reason=Reason.STILL_QUEUED, message="known")
    everything = {job.key: found("done")}

    assert skipped_jobs([job], everything, {"t"}, RECOVERABLE, [known])[job.key] is known
    assert skipped_jobs([job], {job.key: None}, {"t"}, RECOVERABLE)[job.key].reason == Reason.NOT_FOUND
    assert skipped_jobs([job], everything, {"t"}, RECOVERABLE)[job.key].reason == Reason.NOT_RECOVERABLE
