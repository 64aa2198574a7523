"""Which changes of a recovery's status are a line of the log."""

import logging
from datetime import UTC, datetime

import pytest

from queue_recovery.api.canvas import Canvas
from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, JobTotals, Plan, QueueRecoveryStatus
from queue_recovery.controller.status_lines import Line, lines_between
from queue_recovery.recovery.phase import set_ended, set_running, set_step

NOW = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
NEW = QueueRecoveryStatus()
PLAN = Plan(time="2026-03-01T03:00:00Z", ready=1, unacked=0, purge=1, enqueue=1, skip=0)


def doing(reason: str, message: str, of: QueueRecoveryStatus = NEW) -> QueueRecoveryStatus:
    return set_running(of, reason, message, now=NOW, generation=1)


def draining(message: str, *, reason: str = Reason.DRAINING, ending: Ending | None = None) -> QueueRecoveryStatus:
    of = NEW.model_copy(update={"plan": PLAN, "drain_start_time": "2026-03-01T03:00:00Z", "ending": ending})
    of = set_step(of, ConditionType.DRAINED, "False", Reason.DRAINING, "", now=NOW, generation=1)
    return doing(reason, message, of)


def over(phase: str, reason: str) -> Ending:
    return Ending.model_validate({"phase": phase, "reason": reason, "message": "over"})


def ended(phase: str, reason: str) -> QueueRecoveryStatus:
    return set_ended(draining("", ending=over(phase, reason)), now=NOW, generation=1)


@pytest.mark.parametrize(
    ("case", "before", "after", "line"),
    [
        (
            "a new phase",
            doing(Reason.PLANNED, "planned"),
            draining("waiting for a pod"),
            Line(level=logging.INFO, phase="Draining", reason="Draining", text="waiting for a pod"),
        ),
        (
            "an obstacle",
            NEW,
            doing(Reason.TARGET_NOT_FOUND, "create it"),
            Line(level=logging.WARNING, phase="Pending", reason="TargetNotFound", text="create it"),
        ),
        (
            "its end",
            draining("over", reason=Reason.CANCEL_REQUESTED, ending=over("Cancelled", "CancelRequested")),
            ended("Cancelled", "CancelRequested"),
            Line(level=logging.INFO, phase="Cancelled", reason="CancelRequested", text="over"),
        ),
        (
            "that its workers come back because it was cancelled",
            draining("two pods"),
            draining("ending", reason=Reason.CANCEL_REQUESTED, ending=over("Cancelled", "CancelRequested")),
            Line(level=logging.INFO, phase="Draining", reason="CancelRequested", text="ending"),
        ),
        (
            "that it has succeeded comes with its end only",
            draining("two pods"),
            draining("all enqueued", reason=Reason.COMPLETED, ending=over("Succeeded", "Completed")),
            Line(level=logging.DEBUG, phase="Draining", reason="Completed", text="all enqueued"),
        ),
        (
            "that one which has stopped nobody is bound to end comes with its end only",
            doing(Reason.PLANNED, "planned"),
            doing(Reason.DELETED, "ending", NEW.model_copy(update={"ending": over("Cancelled", "Deleted")})),
            Line(level=logging.DEBUG, phase="Pending", reason="Deleted", text="ending"),
        ),
        (
            "other words for the same reason are progress",
            draining("two pods"),
            draining("one pod"),
            Line(level=logging.DEBUG, phase="Draining", reason="Draining", text="one pod"),
        ),
        (
            "figures that change are progress",
            draining("one pod"),
            draining("one pod").model_copy(update={"jobs": JobTotals.counted(3)}),
            Line(level=logging.DEBUG, phase="Draining", reason="Draining", text="one pod"),
        ),
        (
            "an unexpected error has been logged with its place",
            doing(Reason.PLANNED, "planned"),
            doing(Reason.INTERNAL_ERROR, "please report it"),
            None,
        ),
        ("nothing has changed", draining("one pod"), draining("one pod"), None),
        ("an end of which the newest spec is noted", ended("Failed", "Locked"), ended("Failed", "Locked"), None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_line_for_each_step(
    case: str, before: QueueRecoveryStatus, after: QueueRecoveryStatus, line: Line | None
) -> None:
    del case
    assert list(lines_between(before, after)) == ([] if line is None else [line])


def test_what_will_not_happen_is_a_warning_of_its_own() -> None:
    planned = PLAN.model_copy(update={"canvas": Canvas(looked_at=1, chords=1)})
    after = doing(Reason.PLANNED, "planned", NEW.model_copy(update={"plan": planned}))

    step, warning = lines_between(NEW, after)

    assert (step.level, step.reason) == (logging.INFO, "Planned")
    assert (warning.level, warning.phase, warning.reason) == (logging.WARNING, "Planning", "BreaksCanvas")
