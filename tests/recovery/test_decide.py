"""What a recovery does next, by table and over all statuses that can be."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Ending, Phase, Plan, QueueRecoveryStatus
from queue_recovery.api.target import Limits
from queue_recovery.recovery.decide import UNLESS_RESOLVED, Action, deadline, decide, forced_ending
from queue_recovery.recovery.phase import acknowledge, end_suspension, phase_of, set_ended, set_running, set_step

CREATED = datetime(2026, 3, 1, 3, 0, 0, tzinfo=UTC)
NOW = CREATED + timedelta(minutes=5)
STEPS = (ConditionType.DRAINED, ConditionType.PURGED, ConditionType.RESTARTED, ConditionType.REENQUEUED)


def spec(**changes: object) -> QueueRecoverySpec:
    return QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", **changes})


def status(*, planned: bool = False, done: int | None = None, ending: Ending | None = None) -> QueueRecoveryStatus:
    """Return the status of a recovery that has done its first `done` steps; None: the drain has not begun."""
    made = QueueRecoveryStatus(
        plan=Plan(time="2026-03-01T03:00:01Z", ready=1, unacked=2, enqueue=3, skip=0) if planned else None,
        drain_start_time=None if done is None else "2026-03-01T03:00:02Z",
        ending=ending,
    )
    for index, kind in enumerate(STEPS):
        if done is not None and index <= done:
            value = "True" if index < done else "False"
            made = set_step(made, kind, value, "Completed", "", now=NOW, generation=1)  # type: ignore[arg-type]
    return set_running(made, "Draining", 'waiting for the pods of "tts-worker" to end', now=NOW, generation=1)


def begun(of: QueueRecoveryStatus) -> QueueRecoveryStatus:
    """Return the status of a restore that has taken its lock."""
    of = of.model_copy(update={"drain_start_time": "2026-03-01T03:00:02Z"})
    return set_step(of, ConditionType.RESTORED, "False", "Restoring", "", now=NOW, generation=1)


def held(of: QueueRecoveryStatus) -> QueueRecoveryStatus:
    """Return the status of a recovery that has said that it is suspended."""
    if of.drain_start_time is None:
        of = unplanned(of)
    return set_running(of, Reason.SUSPENDED, "held by spec.suspend", now=NOW, generation=1)


def unplanned(of: QueueRecoveryStatus) -> QueueRecoveryStatus:
    """Return the status of a suspended recovery, with the reason for which it waited last."""
    return set_step(of, ConditionType.SUSPENDED, "True", Reason.SUSPENDED, "", now=NOW, generation=1)


UNDO = spec(restoreFrom={"name": "earlier"})
FAILED = Ending(phase="Failed", reason="JobNotFound", message="no document for x")


@pytest.mark.parametrize(
    ("case", "wanted", "of", "action", "phase"),
    [
        ("a new one is planned", spec(), status(), Action.PLAN, Phase.PENDING),
        ("a suspended one is planned too", spec(suspend=True), status(), Action.PLAN, Phase.PENDING),
        ("a planned one records its intent", spec(), status(planned=True), Action.RECORD_INTENT, Phase.PLANNING),
        ("suspend holds after the plan", spec(suspend=True), status(planned=True), Action.HOLD, Phase.PLANNING),
        ("set free, it is planned again", spec(), held(status(planned=True)), Action.RESUME, Phase.PLANNING),
        ("also without a plan", spec(), unplanned(status()), Action.RESUME, Phase.PENDING),
        ("also a restore without one", UNDO, unplanned(status()), Action.RESUME, Phase.PENDING),
        ("still suspended, it is planned", spec(suspend=True), unplanned(status()), Action.PLAN, Phase.PENDING),
        ("also a restore", UNDO, held(status(planned=True)), Action.RESUME, Phase.PLANNING),
        (
            "set free between jobs, it goes on",
            spec(),
            held(status(planned=True, done=3)),
            Action.REENQUEUE,
            Phase.REENQUEUING,
        ),
        ("one that has recorded it drains", spec(), status(planned=True, done=0), Action.DRAIN, Phase.DRAINING),
        (
            "suspend never holds while workers are down",
            spec(suspend=True),
            status(planned=True, done=0),
            Action.DRAIN,
            Phase.DRAINING,
        ),
        ("a drained one purges", spec(), status(planned=True, done=1), Action.PURGE, Phase.PURGING),
        (
            "nor before they are back",
            spec(suspend=True),
            status(planned=True, done=2),
            Action.RESTART,
            Phase.RESTARTING,
        ),
        ("a purged one restarts", spec(), status(planned=True, done=2), Action.RESTART, Phase.RESTARTING),
        (
            "with the workers back it enqueues",
            spec(),
            status(planned=True, done=3),
            Action.REENQUEUE,
            Phase.REENQUEUING,
        ),
        (
            "suspend holds between jobs",
            spec(suspend=True),
            status(planned=True, done=3),
            Action.HOLD,
            Phase.REENQUEUING,
        ),
        ("a restore is planned in its own way", UNDO, status(), Action.PLAN_RESTORE, Phase.PENDING),
        ("and records its intent too", UNDO, status(planned=True), Action.RECORD_INTENT, Phase.PLANNING),
        ("then it stops no worker", UNDO, begun(status(planned=True)), Action.RESTORE, Phase.RESTORING),
        (
            "suspend holds it after the plan",
            UNDO.model_copy(update={"suspend": True}),
            status(planned=True),
            Action.HOLD,
            Phase.PLANNING,
        ),
        (
            "but not once messages are on their way",
            UNDO.model_copy(update={"suspend": True}),
            begun(status(planned=True)),
            Action.RESTORE,
            Phase.RESTORING,
        ),
        (
            "one that is bound to end ends",
            spec(),
            status(planned=True, done=1, ending=FAILED),
            Action.END,
            Phase.PURGING,
        ),
        (
            "an ended one is left alone",
            spec(cancel=True),
            set_ended(status(ending=FAILED), now=NOW, generation=1),
            Action.NOTHING,
            Phase.FAILED,
        ),
    ],
)
def test_the_next_action_follows_from_spec_and_status(
    case: str, wanted: QueueRecoverySpec, of: QueueRecoveryStatus, action: Action, phase: Phase
) -> None:
    assert (decide(wanted, of), phase_of(of)) == (action, phase), case


@pytest.mark.parametrize(
    ("case", "wanted", "of", "deleting", "now", "reason"),
    [
        ("nothing forces it", spec(), status(), False, NOW, None),
        ("a cancel ends it", spec(cancel=True), status(planned=True, done=1), False, NOW, Reason.CANCEL_REQUESTED),
        ("a deletion ends it", spec(), status(planned=True, done=1), True, NOW, Reason.DELETED),
        (
            "before the drain the starting deadline counts from its creation",
            spec(startingDeadlineSeconds=300),
            status(planned=True),
            False,
            NOW,
            Reason.STARTING_DEADLINE_EXCEEDED,
        ),
        (
            "from the drain on the active deadline counts",
            spec(startingDeadlineSeconds=1),
            status(planned=True, done=0),
            False,
            NOW,
            None,
        ),
        (
            "and ends it",
            spec(activeDeadlineSeconds=200),
            status(planned=True, done=2),
            False,
            NOW,
            Reason.ACTIVE_DEADLINE_EXCEEDED,
        ),
        (
            "an ending that has been decided stays",
            spec(cancel=True),
            status(planned=True, done=1, ending=FAILED),
            True,
            NOW,
            None,
        ),
    ],
)
def test_cancel_deletion_and_deadlines_force_an_ending(
    case: str,
    wanted: QueueRecoverySpec,
    of: QueueRecoveryStatus,
    deleting: bool,  # noqa: FBT001  # a column of the table
    now: datetime,
    reason: Reason | None,
) -> None:
    ending = forced_ending(wanted, of, created=CREATED, deleting=deleting, now=now)
    assert (ending.reason if ending else None) == reason, case


def test_a_deadline_says_what_was_awaited_last() -> None:
    of = status(planned=True, done=0)
    ending = forced_ending(spec(activeDeadlineSeconds=1), of, created=CREATED, deleting=False, now=NOW)
    assert ending is not None
    assert 'waiting for the pods of "tts-worker" to end' in ending.message


def test_a_deadline_does_not_repeat_when_it_comes() -> None:
    of = set_running(status(planned=True), "Locked", f"fails soon{UNLESS_RESOLVED}held", now=NOW, generation=1)
    ending = forced_ending(spec(startingDeadlineSeconds=1), of, created=CREATED, deleting=False, now=NOW)
    assert ending is not None
    assert ending.message == "did not start within 1 s; nothing was touched. It last reported: held"


def test_a_deadline_that_comes_while_it_is_suspended_between_jobs_says_so_and_not_how_to_go_on() -> None:
    of = held(status(planned=True, done=3))
    ending = forced_ending(spec(activeDeadlineSeconds=1), of, created=CREATED, deleting=False, now=NOW)
    assert ending is not None
    assert ending.message == "did not finish within 1 s of the start of the drain, for part of which it was suspended."


def test_a_suspended_one_has_no_deadline_and_one_that_was_set_free_has_all_of_its_time() -> None:
    of = held(status(planned=True))
    assert deadline(spec(suspend=True), of, created=CREATED) is None
    assert deadline(spec(suspend=True), status(), created=CREATED) is None
    for suspended in (of, unplanned(status())):
        assert deadline(spec(), suspended, created=CREATED) is None

    of = end_suspension(of, Reason.RESUMED, now=NOW, generation=2)
    of = of.model_copy(update={"plan": None, "resume_time": "2026-03-02T09:00:00Z"})

    assert deadline(spec(), of, created=CREATED) == datetime(2026, 3, 2, 9, 15, tzinfo=UTC)


def test_the_active_deadline_may_be_raised_while_it_runs_and_the_targets_limit_still_holds() -> None:
    of = status(planned=True, done=2)
    assert of.plan
    of = of.model_copy(update={"plan": of.plan.model_copy(update={"limits": Limits(active_deadline_seconds=600)})})
    began = datetime(2026, 3, 1, 3, 0, 2, tzinfo=UTC)

    for asked, holds in {60: 60, 300: 300, 31536000: 600}.items():
        wanted = spec(activeDeadlineSeconds=asked)
        assert deadline(wanted, of, created=CREATED) == began + timedelta(seconds=holds)


def test_the_active_deadline_counts_from_the_drain() -> None:
    assert deadline(spec(), status(planned=True, done=0), created=CREATED) == datetime(2026, 3, 1, 3, 30, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("done", "reason", "words"),
    [
        (None, Reason.STARTING_DEADLINE_EXCEEDED, "did not start within 60 s"),
        (0, Reason.ACTIVE_DEADLINE_EXCEEDED, "did not finish within 20 s of the start of the drain"),
    ],
)
def test_the_deadlines_of_the_plan_hold_however_long_the_spec_asks_for(
    done: int | None, reason: Reason, words: str
) -> None:
    of = status(planned=True, done=done)
    assert of.plan
    plan = of.plan.model_copy(update={"limits": Limits(starting_deadline_seconds=60, active_deadline_seconds=20)})
    of = of.model_copy(update={"plan": plan})
    wanted = spec(startingDeadlineSeconds=31536000, activeDeadlineSeconds=31536000)
    end = CREATED + timedelta(seconds=60 if done is None else 22)

    ending = forced_ending(wanted, of, created=CREATED, deleting=False, now=end)

    assert deadline(wanted, of, created=CREATED) == end
    assert ending is not None
    assert (ending.reason, words in ending.message) == (reason, True)


@given(
    planned=st.booleans(),
    done=st.none() | st.integers(0, 4),
    suspend=st.booleans(),
    ending=st.none() | st.just(FAILED),
)
def test_purging_never_comes_before_the_drain_nor_enqueuing_before_the_workers_are_back(
    planned: bool,  # noqa: FBT001  # drawn by Hypothesis
    done: int | None,
    suspend: bool,  # noqa: FBT001  # drawn by Hypothesis
    ending: Ending | None,
) -> None:
    of = status(planned=planned, done=done, ending=ending)
    action = decide(spec(suspend=suspend), of)
    if action is Action.PURGE:
        assert done is not None
        assert done >= 1
    if action is Action.REENQUEUE:
        assert done == 3
        assert not suspend
    if action is Action.HOLD:
        assert done in {None, 3}
    if ending is not None:
        assert action is Action.END


@given(steps=st.lists(st.sampled_from(STEPS), max_size=6), generation=st.integers(1, 9))
def test_a_later_spec_of_an_ended_recovery_changes_nothing_but_the_generation(
    steps: list[ConditionType], generation: int
) -> None:
    of = status(planned=True, ending=FAILED)
    for kind in steps:
        of = set_step(of, kind, "True", "Completed", "", now=NOW, generation=1)
    ended = set_ended(of, now=NOW, generation=1)
    seen = acknowledge(ended, generation)
    assert seen.observed_generation == generation
    assert {c.observed_generation for c in seen.conditions} == {generation}
    assert acknowledge(seen, 1) == ended


@pytest.mark.parametrize(
    ("phase", "succeeded", "ready", "stalled"),
    [
        ("Succeeded", "True", "True", "False"),
        ("Cancelled", "False", "True", "False"),
        ("Failed", "False", "False", "True"),
    ],
)
def test_tools_that_read_kstatus_see_each_ending_as_what_it_is(
    phase: str, succeeded: str, ready: str, stalled: str
) -> None:
    ending = Ending.model_validate({"phase": phase, "reason": "Completed", "message": "done"})
    ended = set_ended(status(ending=ending), now=NOW, generation=3)
    values = {c.type: c.status for c in ended.conditions}
    summary = {"Succeeded": succeeded, "Ready": ready, "Reconciling": "False", "Stalled": stalled}
    assert values == summary | {"Finished": "True"}
    assert [c.message for c in ended.conditions if c.message] == [ended.message] == ["done"]
    assert ended.phase == phase
    assert ended.observed_generation == 3


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    later = NOW + timedelta(hours=1)
    once = set_running(status(), "Draining", "one pod", now=NOW, generation=1)
    twice = set_running(once, "Draining", "no pod", now=later, generation=1)
    assert [c.last_transition_time for c in twice.conditions] == [c.last_transition_time for c in once.conditions]
