"""Which changes of status are worth an event."""

from datetime import UTC, datetime

import pytest

from queue_recovery.api.canvas import Canvas
from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Ending, Plan, QueueRecoveryStatus
from queue_recovery.controller.event_poster import Event
from queue_recovery.controller.recovery_events import events_between
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


def ended(phase: str, reason: Reason = Reason.COMPLETED) -> QueueRecoveryStatus:
    ending = Ending.model_validate({"phase": phase, "reason": reason, "message": "over"})
    return set_ended(NEW.model_copy(update={"ending": ending}), now=NOW, generation=1)


def bound_to_end(phase: str) -> QueueRecoveryStatus:
    ending = Ending.model_validate({"phase": phase, "reason": "CancelRequested", "message": "over"})
    return doing(Reason.CANCEL_REQUESTED, "ending", NEW.model_copy(update={"ending": ending}))


@pytest.mark.parametrize(
    ("case", "before", "after", "event"),
    [
        (
            "the first obstacle is a warning",
            NEW,
            doing(Reason.TARGET_NOT_FOUND, "create it"),
            Event(type="Warning", reason="TargetNotFound", note="Pending: create it"),
        ),
        (
            "another obstacle in the same phase is an event too",
            doing(Reason.TARGET_NOT_FOUND, "create it"),
            doing(Reason.SECRET_NOT_FOUND, "create that"),
            Event(type="Warning", reason="SecretNotFound", note="create that"),
        ),
        (
            "a new phase is an event with what it does",
            doing(Reason.PLANNED, "planned"),
            draining(Reason.DRAINING, "waiting for a pod"),
            Event(type="Normal", reason="Draining", note="Draining: waiting for a pod"),
        ),
        (
            "a failure is a warning",
            doing(Reason.PLANNED, "planned"),
            ended("Failed", Reason.JOB_NOT_FOUND),
            Event(type="Warning", reason="JobNotFound", note="Failed: over"),
        ),
        (
            "a success is none",
            doing(Reason.PLANNED, "planned"),
            ended("Succeeded"),
            Event(type="Normal", reason="Completed", note="Succeeded: over"),
        ),
        (
            "that it is going to end is an event once it has ended",
            doing(Reason.PLANNED, "planned"),
            bound_to_end("Cancelled"),
            None,
        ),
        (
            "another message for the same reason is none",
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


def planned(purge: int, canvas: Canvas | None) -> QueueRecoveryStatus:
    plan = PLAN.model_copy(update={"purge": purge, "canvas": canvas})
    return doing(Reason.PLANNED, "planned", NEW.model_copy(update={"plan": plan}))


def test_a_plan_that_takes_messages_with_a_canvas_warns_once_and_says_what_is_lost() -> None:
    before = doing(Reason.TARGET_NOT_FOUND, "create it")
    after = planned(12, Canvas(looked_at=12, chords=3, groups=2, chains=1, callbacks=4))

    told, warning = events_between(before, after)

    assert told.type == "Normal"
    assert (warning.type, warning.reason) == ("Warning", "BreaksCanvas")
    assert warning.note.startswith(
        "of 12 messages to be taken: 3 are members of chords, whose bodies will never run; 2 are members of groups, "
        "whose results stay incomplete; 1 carries the rest of a chain, which will not run; 4 carry callbacks"
    )
    assert list(events_between(after, doing(Reason.SUSPENDED, "held", after))) == [
        Event(type="Normal", reason="Suspended", note="held")
    ]


def test_a_warning_of_a_deep_queue_says_how_many_messages_were_looked_at_and_how_many_could_not_be() -> None:
    (*_, warning) = events_between(NEW, planned(9000, Canvas(looked_at=1000, unreadable=40, groups=7)))

    assert warning.note.startswith(
        "of 9000 messages to be taken (1000 examined, 40 with an unreadable body): 7 are members of groups"
    )


@pytest.mark.parametrize("canvas", [None, Canvas(looked_at=5), Canvas(looked_at=5, unreadable=5)])
def test_a_plan_without_a_canvas_warns_of_none(canvas: Canvas | None) -> None:
    assert [event.reason for event in events_between(NEW, planned(5, canvas))] == ["Planned"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (ConditionType.RESTARTED, Reason.WORKERS_AT_ZERO),
        (ConditionType.REDELIVERED, Reason.MAY_BE_HELD),
        (ConditionType.CONSUMED, Reason.CONSUMPTION_UNKNOWN),
    ],
)
def test_a_result_of_a_step_that_is_worth_a_warning_is_told_once(kind: ConditionType, reason: Reason) -> None:
    before = doing(Reason.REENQUEUING, "enqueuing")
    after = set_step(before, kind, "True", reason, "look at it", now=NOW, generation=1)

    assert list(events_between(before, after)) == [Event(type="Warning", reason=reason, note="look at it")]
    assert list(events_between(after, after)) == []
