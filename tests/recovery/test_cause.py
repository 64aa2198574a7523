"""A proposed recovery that was started runs only while its target reports the cause for which it was proposed."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from uuid import UUID

import pytest

from queue_recovery.api.conditions import Condition, ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import QueueStuck
from queue_recovery.api.target import QueueDepth, QueueTargetStatus
from queue_recovery.diagnosis.proposal import proposal_name
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.cause import is_reported
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Run
from queue_recovery.recovery.ports.environment import TargetReport
from queue_recovery.recovery.turn import Turn
from tests.recovery.fakes import CLUSTER, NAME, NOW, Case, target
from tests.recovery.test_diagnosis import is_ended

CAUSE = "UndecodableMessages"
SINCE = "2029-12-31T23:00:00Z"
UNLABEL = f"kubectl label qr/{NAME} -n media queuerecovery.dev/proposed-for-"

PURGE: Mapping[str, object] = {"purge": {"takeUnreadable": True}}
REDELIVER: Mapping[str, object] = {"purge": {"mode": "None"}, "redeliver": {}}
RESTART: Mapping[str, object] = {"purge": {"mode": "None"}, "restart": {"annotate": True}}


def cause(reason: str = CAUSE, proposal: str | None = NAME, since: str = SINCE) -> QueueStuck:
    return QueueStuck(reason=reason, since=since, message="seen", proposal=proposal)


def told(*causes: QueueStuck, queue: str = "tts", stuck: str = "") -> QueueTargetStatus:
    """Return the status of a target whose queue has these causes; `stuck`: what the condition says instead."""
    condition = Condition.model_validate(
        {
            "type": ConditionType.STUCK,
            "status": stuck or ("True" if causes else "False"),
            "reason": "Any",
            "message": "",
            "lastTransitionTime": SINCE,
            "observedGeneration": 1,
        }
    )
    return QueueTargetStatus(queues=[QueueDepth(name=queue, ready=0, stuck=list(causes))], conditions=[condition])


@pytest.mark.parametrize(
    ("status", "found"),
    [
        pytest.param(told(cause()), True, id="it is"),
        pytest.param(told(cause("DeafWorkers", "other"), cause()), True, id="beside another cause"),
        pytest.param(told(), False, id="the queue is not stuck"),
        pytest.param(told(cause("DeafWorkers", "other")), False, id="only another cause"),
        pytest.param(told(cause("DeafWorkers")), False, id="for another cause"),
        pytest.param(told(cause(), queue="mail"), False, id="of another queue"),
        pytest.param(told(cause(proposal="other")), False, id="with another proposal"),
        pytest.param(told(cause(proposal=None)), False, id="a later incident that has no proposal"),
        pytest.param(told(cause(), stuck="Unknown"), None, id="the broker is away"),
        pytest.param(told(stuck="Unknown"), None, id="the broker is away, and nothing is told"),
        pytest.param(QueueTargetStatus(), None, id="the target was never checked"),
        pytest.param(told(cause()).model_copy(update={"conditions": []}), None, id="a version that looks for none"),
    ],
)
def test_a_status_reports_a_cause_for_one_recovery_or_does_not_or_does_not_tell(
    status: QueueTargetStatus,
    found: bool | None,  # noqa: FBT001
) -> None:
    assert is_reported(status, NAME, target="media", queue="tts", cause=CAUSE) is found


@pytest.mark.parametrize(("since", "found"), [(SINCE, True), ("2029-12-31T23:30:00Z", False)])
def test_a_proposal_that_the_status_does_not_name_yet_is_known_by_its_name(
    since: str,
    found: bool,  # noqa: FBT001
) -> None:
    name = proposal_name("media", "tts", CAUSE, SINCE)

    status = told(cause(proposal=None, since=since))

    assert is_reported(status, name, target="media", queue="tts", cause=CAUSE) is found


def case(spec: Mapping[str, object] = PURGE, *causes: QueueStuck, proposed_for: str = CAUSE) -> Case:
    """Return a proposal that somebody has started, while its target reports these causes."""
    made = Case(spec)
    made.broker.add("valid")
    made.resource.label(proposed_for)
    report(made, *causes)
    return made


def report(made: Case, *causes: QueueStuck, stuck: str = "", is_current: bool = True) -> None:
    made.environment.reports["media"] = TargetReport(status=told(*causes, stuck=stuck), is_current=is_current)


def assert_untouched(made: Case) -> None:
    assert made.status.drain_start_time is None
    assert made.broker.queued() == ["valid"]
    assert made.broker.locks == {}
    assert made.workers.replicas == {"worker": 2}
    assert not any(one.executed for one in made.environment.fake_ledger.entries.values())


async def held(made: Case, reason: str = Reason.CAUSE_OVER) -> str:
    """Reconcile until the recovery is held, in a process that dies then; return the message."""
    running = made.start()
    message = await made.waits(reason)
    running.cancel()
    await asyncio.wait({running})
    assert_untouched(made)
    return message


async def test_it_runs_while_its_cause_is_reported() -> None:
    made = case(PURGE, cause())

    await made.reaches("Succeeded")

    assert made.broker.queued() == []


@pytest.mark.parametrize("spec", [PURGE, RESTART], ids=["purge", "restart"])
async def test_once_its_cause_is_over_it_is_held_before_it_touches_anything_and_says_what_to_do(
    spec: Mapping[str, object],
) -> None:
    made = case(spec)

    message = await held(made)

    assert message == (
        f"fails at {timestamp(NOW + timedelta(minutes=15))} unless this is resolved: the cause for which this recovery "
        f'was proposed is over: target "media" no longer reports UndecodableMessages for queue "tts". Delete it: '
        f"kubectl delete qr/{NAME} -n media. To run it all the same, remove its label: {UNLABEL}"
    )
    assert made.status.phase == "Planning"
    assert made.status.plan is not None


async def test_a_redelivery_with_nothing_to_give_back_ends_and_one_with_something_is_held() -> None:
    made = case(REDELIVER, proposed_for="StrandedMessages")
    await made.reaches("Succeeded", Reason.NOTHING_TO_DO)

    made = case(REDELIVER, proposed_for="StrandedMessages")
    made.broker.add("left", held=True)
    await held(made)


async def test_without_its_label_it_runs_all_the_same_at_once() -> None:
    made = case()
    running = made.start()
    await made.waits(Reason.CAUSE_OVER)

    made.resource.label("")
    await running

    assert made.status.phase == "Succeeded"


async def test_what_nobody_has_proposed_is_not_asked_about() -> None:
    made = case(proposed_for="")

    await made.reaches("Succeeded")

    assert "target_report" not in made.environment.calls


@pytest.mark.parametrize("queue", ["tts", "*"])
async def test_a_label_that_somebody_else_has_put_on_holds_a_recovery_and_lets_none_do_more(queue: str) -> None:
    made = case({**PURGE, "queue": queue}, cause(proposal="other"))

    await held(made)


@pytest.mark.parametrize("doubt", ["the broker was away", "it has not looked often enough"])
async def test_while_the_status_does_not_tell_it_waits_and_goes_on_by_itself_once_it_does(doubt: str) -> None:
    made = case()
    if doubt == "the broker was away":
        report(made, stuck="Unknown")
    else:
        report(made, cause(), is_current=False)
    running = made.start()

    message = await made.waits(Reason.CAUSE_UNKNOWN)

    assert 'the status of target "media" does not tell whether queue "tts" is still stuck' in message
    assert message.endswith(f"Wait for the next checks. To start it without them, remove its label: {UNLABEL}")
    assert_untouched(made)
    report(made, cause())
    await running
    assert made.status.phase == "Succeeded"


@pytest.mark.parametrize("reason", [Reason.CAUSE_OVER, Reason.CAUSE_UNKNOWN])
async def test_it_fails_at_its_starting_deadline_and_says_why_it_was_held(reason: Reason) -> None:
    made = case({**PURGE, "startingDeadlineSeconds": 60})
    report(made, stuck="Unknown" if reason is Reason.CAUSE_UNKNOWN else "")
    running = made.start()
    await made.waits(reason)

    made.environment.time += timedelta(seconds=60)
    made.environment.report_change()
    await running

    assert made.status.ending is not None
    assert made.status.ending.reason == Reason.STARTING_DEADLINE_EXCEEDED
    assert "nothing was touched. It last reported: the " in made.status.message
    assert_untouched(made)


async def test_a_target_that_is_deleted_while_it_is_held_is_told_and_fails_it_at_its_deadline() -> None:
    made = case({**PURGE, "startingDeadlineSeconds": 60})
    await held(made)
    del made.environment.targets["media"]

    running = made.start()
    await made.waits(Reason.TARGET_NOT_FOUND)
    made.environment.time += timedelta(seconds=60)
    made.environment.report_change()
    await running

    assert made.status.phase == "Failed"
    assert_untouched(made)


@pytest.mark.parametrize("way", ["cancel", "deletion"])
async def test_while_it_is_held_it_can_be_cancelled_and_deleted(way: str) -> None:
    made = case()
    await is_ended(made, Reason.CAUSE_OVER, way)
    assert_untouched(made)


@pytest.mark.parametrize("spec", [PURGE, REDELIVER], ids=["purge", "redelivery"])
async def test_no_approval_is_asked_for_while_it_is_held_nor_does_an_approval_run_what_is_over(
    spec: Mapping[str, object],
) -> None:
    made = case(spec)
    made.broker.add("left", held=True)
    made.environment.targets["media"] = target(policy={"approval": "Required"})
    await held(made)
    assert made.status.approval is None

    report(made, cause())
    await made.reconciled()
    assert made.status.phase == "AwaitingApproval"
    assert made.status.approval is not None
    report(made)
    made.resource.annotate(approve=made.status.approval.digest)
    await held(made)


async def test_a_cause_that_ends_while_it_waits_for_its_turn_holds_it_without_its_place() -> None:
    admission = Admission(1)
    made = case(PURGE, cause())
    made.broker.lock(Run(uid="other", name="media/other", cluster=CLUSTER, queue="tts", cluster_uid=CLUSTER))
    made.environment.existing["media/other"] = True
    running = asyncio.ensure_future(made.reconciled(Turn(admission, "media")))
    await made.waits(Reason.LOCKED)

    report(made)
    del made.broker.locks["tts"]
    await made.waits(Reason.CAUSE_OVER)

    assert_untouched(made)
    later = Case(environment=made.environment, uid=str(UUID(int=2)), name="later")
    await asyncio.wait_for(later.reconciled(Turn(admission, "media")), 5)
    assert later.status.phase == "Succeeded"
    running.cancel()


async def test_wherever_the_operator_dies_what_has_started_goes_on_and_what_has_not_is_held() -> None:
    started = 0
    for number in range(1, 200):
        made = case(PURGE, cause())
        if not await made.dies_at(number):
            assert started > 0
            return
        report(made)
        if made.status.drain_start_time is None:
            await held(made)
        else:
            started += 1
            await made.reaches("Succeeded")
    raise AssertionError("it never ended")


async def test_a_suspended_one_says_that_its_cause_is_over_and_what_to_do() -> None:
    made = case({**PURGE, "suspend": True}, cause())
    await made.reconciled()
    assert "To continue, set spec.suspend to false" in made.status.message

    report(made, is_current=False)  # after the operator's start, too: it says so, and decides nothing
    await made.reconciled()
    assert made.status.message == (
        "suspended: would purge 1 message (1 ready, 0 unacked). "
        'The cause for which this recovery was proposed is over: target "media" no longer reports UndecodableMessages '
        f'for queue "tts". Delete it: kubectl delete qr/{NAME} -n media. To run it all the same, remove its label: '
        f"{UNLABEL}"
    )

    report(made, stuck="Unknown")
    await made.reconciled()
    assert "To continue, set spec.suspend to false" in made.status.message
    report(made)
    await made.reconciled()
    made.resource.label("")
    await made.reconciled()
    assert "To continue, set spec.suspend to false" in made.status.message


async def test_a_suspended_one_is_planned_although_its_cause_is_over() -> None:
    made = case({**PURGE, "suspend": True})

    await made.reconciled()

    assert made.status.message.startswith("suspended: would purge 1 message (1 ready, 0 unacked). The cause ")
    assert made.status.plan is not None


async def test_a_suspended_one_waits_for_its_target_and_its_label_and_others_do_not() -> None:
    made = case({**PURGE, "suspend": True}, cause())
    waiting = await made.reconciled()
    assert waiting is not None
    assert (waiting.target, waiting.proposed_for) == ("media", CAUSE)

    made.resource.label("")
    waiting = await made.reconciled()
    assert waiting is not None
    assert (waiting.target, waiting.proposed_for) == (None, "")


async def test_a_status_that_cannot_be_read_is_read_again_before_it_starts() -> None:
    made = case(PURGE, cause())
    made.environment.fail_always("target_report", RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "away"))
    running = made.start()
    await made.waits(Reason.KUBERNETES_UNAVAILABLE)
    assert_untouched(made)

    made.environment.heal()
    await running

    assert made.status.phase == "Succeeded"
