"""Every ending scales the workers back, and only one recovery at a time works on a queue."""

import asyncio
from datetime import timedelta

import pytest

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import Limits
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until
from tests.recovery.fakes import NOW, Case, target

AWAY = RecoveryError(Reason.BROKER_UNAVAILABLE, "does not answer")
ANOTHER_UID = "00000000-0000-0000-0000-000000000002"


async def stopping(*, deadline_seconds: int = 1800, turn: Turn | None = None) -> tuple[Case, "asyncio.Task[object]"]:
    """Return a recovery of one message and one job that waits for the pods of its workers to end."""
    case = Case(jobs=["a"], activeDeadlineSeconds=deadline_seconds)
    case.broker.add("old-a")
    case.workers.pods_hang = True
    working = asyncio.ensure_future(case.reconciled(turn))

    async def scaled_to_zero() -> bool:
        return case.workers.replicas == {"worker": 0}

    await until(scaled_to_zero, "the workers to be scaled to 0")
    return case, working


def assert_untouched(case: Case) -> None:
    """Assert that the workers are back, the lock is free, and message and job are as they were."""
    assert case.workers.replicas == {"worker": 2}
    assert case.workers.deployments["worker"].note is None
    assert case.broker.locks == {}
    assert case.broker.queued() == ["old-a"]
    assert case.jobs.statuses == {"a": "failed"}


async def test_a_cancel_while_the_workers_stop_scales_them_back_and_leaves_the_messages() -> None:
    case, working = await stopping()

    case.resource.change(cancel=True)
    await working

    assert case.status.phase == "Cancelled"
    assert case.status.message.endswith(". Outcome: no message quarantined, 0 of 1 job enqueued, workers scaled back")
    drained = find(case.status.conditions, ConditionType.DRAINED)
    assert drained is not None
    assert (drained.reason, drained.message) == ("CancelRequested", "not completed: the recovery has ended")
    assert_untouched(case)


async def test_deleting_a_running_recovery_scales_the_workers_back() -> None:
    case, working = await stopping()

    case.resource.change(deleting=True)
    await working

    assert case.status.phase == "Cancelled"
    assert_untouched(case)


async def test_a_drain_that_takes_too_long_fails_and_scales_the_workers_back() -> None:
    case, working = await stopping(deadline_seconds=60)
    await case.waits("Draining")

    case.environment.time = NOW + timedelta(seconds=61)
    case.workers.change("worker")
    case.resource.change()
    await working

    assert case.status.ending is not None
    assert (case.status.phase, case.status.ending.reason) == ("Failed", "ActiveDeadlineExceeded")
    assert 'waiting for the pods of "worker" to end' in case.status.message
    assert [(row.id, row.reason) for row in case.status.skipped] == [("a", "NotAttempted")]
    assert_untouched(case)


async def test_the_limits_of_the_target_are_shorter_deadlines_than_those_of_the_spec() -> None:
    case = Case(activeDeadlineSeconds=31536000)
    case.broker.add("old")
    limits = Limits(starting_deadline_seconds=6, active_deadline_seconds=2)
    case.environment.targets["media"] = target(limits=limits.model_dump(by_alias=True))
    case.workers.pods_hang = True
    working = asyncio.ensure_future(case.reconciled())
    await case.waits("Draining")

    case.environment.time = NOW + timedelta(seconds=3)
    case.resource.change()
    await working

    assert "did not finish within 2 s of the start of the drain" in case.status.message


async def test_a_second_recovery_of_the_queue_waits_until_the_first_has_ended() -> None:
    first, working = await stopping()
    second = Case(environment=first.environment, uid=ANOTHER_UID, name="second")
    first.environment.existing["media/stuck"] = True
    waiting = second.start()
    assert '"media/stuck"' in await second.waits("Locked")

    first.workers.end_pods()
    await working
    first.environment.existing["media/stuck"] = False
    await waiting

    assert (first.status.phase, second.status.phase) == ("Succeeded", "Succeeded")
    assert first.workers.replicas == {"worker": 2}


async def test_a_recovery_of_another_queue_of_the_same_deployment_waits_too() -> None:
    first, working = await stopping()
    first.environment.targets["media"] = target({"tts": ["worker"], "mail": ["worker"]})
    second = Case(environment=first.environment, uid=ANOTHER_UID, name="second", queue="mail")
    first.broker.add("old", queue="mail")
    first.environment.existing["media/stuck"] = True
    waiting = second.start()
    message = await second.waits("Locked")
    assert 'Deployment "worker"' in message
    assert '"media/stuck"' in message

    first.workers.end_pods()
    await working
    first.environment.report_change()
    await waiting

    assert (first.status.phase, second.status.phase) == ("Succeeded", "Succeeded")
    assert first.workers.replicas == {"worker": 2}


async def test_a_plan_is_made_again_after_another_recovery_even_if_the_last_wait_was_for_the_broker() -> None:
    first, working = await stopping()
    second = Case(environment=first.environment, uid=ANOTHER_UID, name="second", jobs=["a"])
    first.environment.existing["media/stuck"] = True
    waiting = second.start()
    await second.waits("Locked")
    first.broker.fail("holders", AWAY)
    await second.waits("BrokerUnavailable")

    first.workers.end_pods()
    await working
    await waiting

    assert second.status.ending is not None
    assert second.status.ending.reason == "NothingToDo"
    assert first.workers.calls.count("scale_to_zero") == 1


@pytest.mark.parametrize("call", ["open", "freeze", "take", "push", "close", "release"])
async def test_a_broker_that_is_away_at_any_call_is_tried_again(call: str) -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    case.broker.fail(call, AWAY)

    status = await case.reaches("Succeeded")

    assert case.broker.queued() == [case.task_id("a")]
    assert status.messages is not None
    assert status.messages.quarantined == 1


@pytest.mark.parametrize("call", ["look_up", "claim"])
async def test_a_job_store_that_is_away_at_any_call_is_tried_again(call: str) -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    case.jobs.fail(call, RecoveryError(Reason.JOB_STORE_UNAVAILABLE, "does not answer"))

    await case.reaches("Succeeded")

    assert case.broker.queued() == [case.task_id("a")]
    assert case.jobs.statuses == {"a": "pending"}


async def test_a_broker_that_is_away_delays_neither_the_workers_nor_other_recoveries() -> None:
    admission = Admission(1)
    case, working = await stopping(turn=Turn(admission, "media"))
    for call in ("refuse", "close"):
        case.broker.fail_always(call, AWAY)

    case.resource.change(cancel=True)
    await case.waits("BrokerUnavailable")
    assert case.workers.replicas == {"worker": 2}
    assert case.status.completion_time is None
    Turn(admission, "news").check_drain_slot()
    case.broker.heal()
    await working

    assert_untouched(case)


async def test_a_broker_that_has_lost_its_data_fails_the_recovery_and_names_the_jobs_in_doubt() -> None:
    case = Case(jobs=["a", "b", "c"], reenqueue={"ratePerSecond": 1})

    def lose_data() -> None:
        if case.broker.queued():
            case.broker.lose_data()

    case.environment.on_pause = lose_data
    status = await case.reaches("Failed", "BrokerLostData")

    # The loss is found out when "b" is pushed, which has been claimed by then.
    assert [(row.id, row.reason) for row in status.skipped] == [
        ("a", "InDoubt"),
        ("b", "InDoubt"),
        ("c", "NotAttempted"),
    ]
    assert case.task_id("a") in status.skipped[0].message
    assert case.jobs.statuses == {"a": "pending", "b": "pending", "c": "failed"}
    assert case.workers.replicas == {"worker": 2}


async def test_a_worker_that_another_client_scales_up_during_the_drain_is_stopped_again() -> None:
    case, working = await stopping()

    case.workers.scale("worker", 3)
    await case.waits("WorkerChanged")
    case.workers.end_pods()
    await working

    assert case.status.phase == "Succeeded"
    assert case.workers.calls.count("scale_to_zero") == 2
    assert case.workers.replicas == {"worker": 2}


@pytest.mark.parametrize(
    ("manager", "who", "remedy"),
    [
        (None, "another client", "If it is a GitOps tool or an autoscaler, pause it"),
        ("somebody", 'field manager "somebody"', "If it is a GitOps tool or an autoscaler, pause it"),
        (
            "argocd-controller",
            'field manager "argocd-controller"',
            "In the Argo CD Application, set spec.ignoreDifferences",
        ),
        (
            "kustomize-controller",
            'field manager "kustomize-controller"',
            "In Git, from which Flux applies it, remove spec.replicas",
        ),
    ],
)
async def test_who_scales_a_worker_up_during_the_drain_is_named_with_what_stops_it(
    manager: str | None, who: str, remedy: str
) -> None:
    case, working = await stopping()

    case.workers.change("worker", scaled_by=manager)
    case.workers.scale("worker", 3)
    said = await case.waits("WorkerChanged")
    case.workers.end_pods()
    await working

    assert f'{who} scaled "worker" up during the drain; scaling to 0 again. {remedy}' in said


async def test_labels_that_another_client_removes_during_the_drain_are_written_again() -> None:
    case, working = await stopping()

    case.workers.change("worker", note=None)
    await case.waits("WorkerChanged")

    async def is_held() -> bool:
        return case.workers.deployments["worker"].note is not None

    await until(is_held, "the labels to be written again")
    case.resource.change(cancel=True)
    await working

    assert_untouched(case)


async def test_workers_that_come_up_while_the_messages_are_taken_cause_another_purge_attempt() -> None:
    case = Case()
    case.broker.add("old")

    def disturb() -> None:
        if case.broker.calls.count("take") == 1:
            case.workers.scale("worker", 1)
            case.broker.add("given back by that worker")

    case.broker.on_call["take"] = disturb
    status = await case.reaches("Succeeded")

    assert status.purge.attempt == 2
    assert case.broker.queued() == []
    assert case.workers.replicas == {"worker": 2}


async def test_a_deleted_recovery_that_has_not_begun_ends_without_touching_anything() -> None:
    case = Case(suspend=True)
    await case.reconciled()

    case.resource.change(deleting=True)
    await case.reaches("Cancelled", "Deleted")

    assert case.broker.records == {}
    assert "scale_to_zero" not in case.workers.calls
