"""Which changes of status are worth an event."""

from datetime import UTC, datetime

import pytest

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery import Ending, Plan, QueueRecoveryStatus
from queue_recovery.controller.events import Event, events_between
from queue_recovery.recovery.phase import set_ended, set_running, set_step

NOW = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
NEW = QueueRecoveryStatus()
PLAN = Plan(time="2026-03-01T03:00:00Z", ready=1, unacked=0, enqueue=1, skip=0)


def doing(reason: str, message: str, of: QueueRecoveryStatus = NEW) -> QueueRecoveryStatus:
    return set_running(of, reason, message, now=NOW, generation=1)


def draining(reason: str, message: str) -> QueueRecoveryStatus:
    of = NEW.model_copy(update={"plan": PLAN})
    of = set_step(of, ConditionType.DRAINED, "False", Reason.DRAINING, "", now=NOW, generation=1)
    return doing(reason, message, of)


def ended(phase: str) -> QueueRecoveryStatus:
    ending = Ending.model_validate({"phase": phase, "reason": "Completed", "message": "over"})
    return set_ended(NEW.model_copy(update={"ending": ending}), now=NOW, generation=1)


def bound_to_end(phase: str) -> QueueRecoveryStatus:
    ending = Ending.model_validate({"phase": phase, "reason": "CancelRequested", "message": "over"})
    return doing(Reason.CANCEL_REQUESTED, "ending", NEW.model_copy(update={"ending": ending}))


@pytest.mark.parametrize(
    ("case", "before", "after", "event"),
    [
        (
            "the first thing that stands in the way is a warning",
            NEW,
            doing(Reason.TARGET_NOT_FOUND, "create it"),
            Event(type="Warning", reason="TargetNotFound", note="Pending: create it"),
        ),
        (
            "another thing in the same phase is told too",
            doing(Reason.TARGET_NOT_FOUND, "create it"),
            doing(Reason.SECRET_NOT_FOUND, "create that"),
            Event(type="Warning", reason="SecretNotFound", note="create that"),
        ),
        (
            "a new phase is told with what it does",
            doing(Reason.PLANNED, "planned"),
            draining(Reason.DRAINING, "waiting for a pod"),
            Event(type="Normal", reason="Draining", note="Draining: waiting for a pod"),
        ),
        (
            "a failure is a warning",
            doing(Reason.PLANNED, "planned"),
            ended("Failed"),
            Event(type="Warning", reason="Completed", note="Failed: over"),
        ),
        (
            "a success is none",
            doing(Reason.PLANNED, "planned"),
            ended("Succeeded"),
            Event(type="Normal", reason="Completed", note="Succeeded: over"),
        ),
        (
            "that it is bound to end is told once it has ended",
            doing(Reason.PLANNED, "planned"),
            bound_to_end("Cancelled"),
            None,
        ),
        (
            "other words for the same reason are not told",
            draining(Reason.DRAINING, "two pods"),
            draining(Reason.DRAINING, "one pod"),
            None,
        ),
    ],
)
def test_a_new_phase_or_reason_is_an_event(
    case: str, before: QueueRecoveryStatus, after: QueueRecoveryStatus, event: Event | None
) -> None:
    assert list(events_between(before, after)) == ([event] if event else []), case
