"""An ending does not wait for a ScaledObject that may not be changed, and names one that may still be paused."""

import asyncio
import logging
from datetime import timedelta

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Gone
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until
from tests.recovery.fakes import NOW, Case

DENIED = [
    RecoveryError(Reason.FORBIDDEN, "no RoleBinding"),
    RecoveryError(Reason.WORKER_WRITE_REFUSED, "refused (422)"),
]
AWAY = RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "does not answer")


def scaled_by_keda() -> Case:
    """Return a recovery of one message, whose worker a ScaledObject scales."""
    case = Case()
    case.broker.add("old")
    case.autoscalers.add("tts-scaler")
    return case


async def stopping(turn: Turn | None = None) -> tuple[Case, "asyncio.Task[Requeue | None]"]:
    """Return one that has paused KEDA and waits for the pods of its workers to end."""
    case = scaled_by_keda()
    case.workers.pods_hang = True
    working = case.start(turn)

    async def scaled_to_zero() -> bool:
        return case.workers.replicas == {"worker": 0}

    await until(scaled_to_zero, "the workers to be scaled to 0")
    return case, working


def assert_ended(case: Case) -> None:
    assert case.status.completion_time is not None
    assert case.broker.locks == {}
    assert case.workers.replicas == {"worker": 2}


@pytest.mark.parametrize("denial", DENIED)
async def test_a_cancel_ends_where_keda_may_be_listed_and_not_paused(denial: RecoveryError) -> None:
    case = scaled_by_keda()
    case.autoscalers.denial = denial
    working = case.start()
    await case.waits(denial.reason)

    case.resource.change(cancel=True)
    await working

    assert case.status.phase == "Cancelled"
    assert "ScaledObject" not in case.status.message
    assert_ended(case)


@pytest.mark.parametrize("denial", DENIED)
async def test_an_ending_names_what_it_may_not_unpause_and_is_over(denial: RecoveryError) -> None:
    case, working = await stopping()
    case.autoscalers.denial = denial

    case.resource.change(cancel=True)
    await working

    assert case.status.phase == "Cancelled"
    assert case.status.message.endswith(
        'workers scaled back. ScaledObject "tts-scaler" may still be paused, because the API server denies the change '
        "(a missing permission, an admission policy, or KEDA's own webhook). Once it is allowed, run: "
        "sh manifests/scale-back.sh -n media"
    )
    assert_ended(case)


async def test_a_denial_in_the_middle_ends_the_recovery_at_its_deadline_at_the_latest() -> None:
    case = scaled_by_keda()
    case.broker.on_call["take"] = lambda: setattr(case.autoscalers, "denial", DENIED[0])
    working = case.start()
    await case.waits(Reason.FORBIDDEN)

    case.environment.time = NOW + timedelta(seconds=1801)
    case.resource.change()
    await working

    assert case.status.ending is not None
    assert case.status.ending.reason == Reason.ACTIVE_DEADLINE_EXCEEDED
    assert '"tts-scaler" may still be paused' in case.status.message
    assert_ended(case)


async def test_an_ending_waits_for_an_api_server_that_does_not_answer_without_its_drain_slot() -> None:
    admission = Admission(1)
    turn, other = Turn(admission, "media"), Turn(admission, "another")
    case, working = await stopping(turn)
    with pytest.raises(RecoveryError, match="Queued"):
        other.check_drain_slot()
    case.autoscalers.fail_always("unpause", AWAY)

    case.resource.change(cancel=True)
    await case.waits(AWAY.reason)
    other.check_drain_slot()
    assert case.workers.replicas == {"worker": 2}
    assert case.broker.locks
    case.autoscalers.heal()
    await working

    assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused
    assert "ScaledObject" not in case.status.message
    assert_ended(case)


async def test_what_was_denied_is_tried_again_as_long_as_the_ending_waits_for_the_broker() -> None:
    case, working = await stopping()
    case.autoscalers.denial = DENIED[0]
    case.broker.fail_always("close", RecoveryError(Reason.BROKER_UNAVAILABLE, "does not answer"))
    case.resource.change(cancel=True)
    await case.waits(Reason.BROKER_UNAVAILABLE)

    case.autoscalers.denial = None

    async def unpaused() -> bool:
        return not case.autoscalers.scaled_objects["tts-scaler"].is_paused

    await until(unpaused, "KEDA to be unpaused")
    case.broker.heal()
    await working
    assert "ScaledObject" not in case.status.message
    assert case.workers.calls.count("scale_back") == 1
    assert_ended(case)


async def test_workers_that_fail_once_are_scaled_back_although_nothing_is_left_to_unpause() -> None:
    case, working = await stopping()
    case.workers.fail("scale_back", AWAY)

    case.resource.change(cancel=True)
    await working

    assert_ended(case)


async def test_one_that_is_removed_by_force_logs_what_it_may_not_unpause_and_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case, working = await stopping()
    case.autoscalers.denial = DENIED[0]

    with caplog.at_level(logging.WARNING):
        case.resource.is_gone = True
        case.resource.change(deleting=True)
        with pytest.raises(Gone):
            await working

    assert case.workers.replicas == {"worker": 2}
    (said,) = [record.getMessage() for record in caplog.records if "tts-scaler" in record.getMessage()]
    assert said.startswith('the recovery was removed by force. ScaledObject "tts-scaler" may still be paused')


async def test_one_that_is_cut_off_from_its_broker_says_what_may_still_be_paused_too() -> None:
    case, working = await stopping()
    case.autoscalers.denial = DENIED[0]
    case.environment.terminating = True
    case.broker.fail_always("close", RecoveryError(Reason.SECRET_NOT_FOUND, "it is gone"))

    case.resource.change(deleting=True)
    await working

    assert "the broker is no longer reachable" in case.status.message
    assert 'ScaledObject "tts-scaler" may still be paused' in case.status.message
