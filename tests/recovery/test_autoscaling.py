"""KEDA is paused while the workers are at 0, and no longer; an autoscaler that cannot be paused is refused."""

import asyncio
import itertools
from dataclasses import replace

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.autoscaling import free_scaled_objects_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.intent import record_intent
from queue_recovery.recovery.plan import plan
from queue_recovery.recovery.ports import Autoscaler, PausedBy
from queue_recovery.recovery.takeover import end_gone, scale_back_earlier
from sandbox.processes import until
from tests.recovery.fakes import NAME, UID, Case
from tests.recovery.test_takeover import HOLDER, NO_MESSAGES, locked
from tests.sample_worker import ref

GONE = PausedBy(uid="gone", name="removed")


def scaled_by_keda(spec: dict[str, object] | None = None) -> Case:
    """Return a recovery of one message, whose worker a ScaledObject scales."""
    case = Case(spec)
    case.broker.add("old")
    case.autoscalers.add("tts-scaler")
    return case


def effects(case: Case) -> list[str]:
    return [
        call for call in case.environment.log if call in {"pause autoscaler", "scale_to_zero", "scale_back", "unpause"}
    ]


async def test_keda_is_paused_before_the_workers_are_stopped_and_unpaused_once_they_are_back() -> None:
    case = scaled_by_keda()

    await case.reaches("Succeeded")

    assert effects(case) == ["pause autoscaler", "scale_to_zero", "scale_back", "unpause"]
    assert case.autoscalers.scaled_objects["tts-scaler"].is_paused is False
    assert [one.name for one in case.status.scaled_objects] == ["tts-scaler"]


async def test_the_intent_names_what_will_be_paused_before_it_is() -> None:
    case = scaled_by_keda()
    await plan(case.recovery())

    await record_intent(case.recovery())

    assert [(one.name, one.uid) for one in case.status.scaled_objects] == [("tts-scaler", "uid of tts-scaler")]
    assert effects(case) == []


async def test_a_dry_run_says_what_would_be_paused_and_pauses_nothing() -> None:
    case = scaled_by_keda({"suspend": True})

    await case.reconciled()

    assert case.status.plan is not None
    assert case.status.plan.scaled_objects == ["tts-scaler"]
    assert 'pause ScaledObject "tts-scaler" until the workers are back' in case.status.message
    assert effects(case) == []


@pytest.mark.parametrize("end", ["cancel", "deleting"])
async def test_every_ending_unpauses_keda_also_after_a_death_at_any_call(end: str) -> None:
    number, has_died = 0, True
    while has_died:
        number += 1
        case = scaled_by_keda()
        has_died = await case.dies_at(number)
        if has_died:
            case.resource.change(**{end: True})
        await case.reconciled()

        scaler = case.autoscalers.scaled_objects["tts-scaler"]
        assert (scaler.is_paused, scaler.paused_by) == (False, None), number
        assert case.workers.replicas == {"worker": 2}, number
    assert number > 40


async def test_a_death_at_any_call_leaves_keda_paused_while_the_next_process_takes_the_queue() -> None:
    number, has_died = 0, True
    while has_died:
        number += 1
        case = scaled_by_keda()
        has_died = await case.dies_at(number)
        paused = _pauses_seen(case)
        await case.reaches("Succeeded")

        assert all(paused), number
        assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused, number


def _pauses_seen(case: Case) -> list[bool]:
    """Return the list in which each take of messages notes whether KEDA is paused."""
    seen: list[bool] = []
    case.broker.on_call["take"] = lambda: seen.append(case.autoscalers.scaled_objects["tts-scaler"].is_paused)
    return seen


async def test_neither_the_broker_nor_the_job_store_delays_unpausing() -> None:
    case = scaled_by_keda()
    case.workers.pods_hang = True
    working = case.start()
    await case.waits(Reason.DRAINING)
    case.broker.fail_every_call(TypeError("s3cret"))
    case.jobs.fail_every_call(TypeError("s3cret"))

    case.resource.change(cancel=True)

    with pytest.raises(TypeError):
        await working
    assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused
    assert case.workers.replicas == {"worker": 2}


async def test_an_autoscaler_that_cannot_be_unpaused_does_not_keep_the_workers_at_0() -> None:
    case = scaled_by_keda()
    case.autoscalers.fail("unpause", RecoveryError(Reason.FORBIDDEN, "no"))

    await case.reaches("Succeeded")

    assert effects(case)[-4:] == ["scale_back", "unpause", "scale_back", "unpause"]
    assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused


async def test_a_users_own_pause_is_neither_written_nor_removed() -> None:
    case = scaled_by_keda()
    case.autoscalers.add("tts-scaler", is_paused=True)

    await case.reaches("Succeeded")

    assert effects(case) == ["scale_to_zero", "scale_back"]
    assert case.autoscalers.scaled_objects["tts-scaler"].is_paused


async def test_keda_that_somebody_unpauses_during_the_drain_is_paused_again() -> None:
    case = scaled_by_keda()
    case.workers.pods_hang = True

    async def paused_again() -> bool:
        return case.environment.log.count("pause autoscaler") > 1

    async def stopping() -> bool:
        return case.workers.replicas == {"worker": 0}

    working = case.start()
    await until(stopping, "the workers to be scaled to 0")
    case.autoscalers.add("tts-scaler")
    case.workers.scale("worker", 1)
    await until(paused_again, "KEDA to be paused again")

    assert case.autoscalers.scaled_objects["tts-scaler"].is_paused
    case.workers.end_pods()
    await working
    assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused


async def test_labels_that_somebody_removes_are_written_again_when_the_drain_begins_again() -> None:
    case = scaled_by_keda()
    case.workers.pods_hang = True

    async def stopped() -> bool:
        return case.workers.replicas == {"worker": 0}

    async def labelled_again() -> bool:
        return case.autoscalers.scaled_objects["tts-scaler"].is_labelled

    working = case.start()
    await until(stopped, "the workers to be scaled to 0")
    scaler = case.autoscalers.scaled_objects["tts-scaler"]
    case.autoscalers.scaled_objects["tts-scaler"] = replace(scaler, is_labelled=False)
    case.workers.scale("worker", 1)
    await until(labelled_again, "the labels to be written again")
    case.workers.end_pods()
    await working

    assert case.environment.log.count("pause autoscaler") == 2
    assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused


async def test_one_that_another_recovery_has_paused_is_waited_for_before_anything_is_touched() -> None:
    case = scaled_by_keda()
    case.autoscalers.add("tts-scaler", paused_by=PausedBy(uid="other", name="other"))
    case.environment.existing["media/other"] = True

    with pytest.raises(RecoveryError, match=r'Locked.*ScaledObject "tts-scaler" is held by recovery "media/other"'):
        await free_scaled_objects_of(case.recovery(), [ref()])
    await plan(case.recovery())

    assert effects(case) == []


async def test_where_it_cannot_be_known_whether_that_one_exists_the_message_says_what_to_run() -> None:
    case = scaled_by_keda()
    case.autoscalers.add("tts-scaler", paused_by=PausedBy(uid="other", name="no name!"))
    case.environment.existing["media/no name!"] = None

    with pytest.raises(RecoveryError, match=r"no longer exists, run: sh manifests/scale-back\.sh -n media"):
        await free_scaled_objects_of(case.recovery(), [ref()])


async def test_one_that_a_recovery_has_paused_that_is_gone_is_taken_over() -> None:
    case = scaled_by_keda()
    case.autoscalers.add("tts-scaler", paused_by=GONE)

    await case.reaches("Succeeded")

    assert case.autoscalers.unpaused == [("tts-scaler", "uid of tts-scaler", UID, "gone")]
    assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused


async def test_a_recovery_that_stops_no_workers_unpauses_keda_of_one_that_is_gone() -> None:
    case = locked(NO_MESSAGES)
    case.autoscalers.add("tts-scaler", paused_by=GONE)
    case.autoscalers.add("of-somebody-else", paused_by=PausedBy(uid="else", name="else"))

    await end_gone(case.recovery(), "tts", HOLDER)

    assert case.autoscalers.unpaused == [("tts-scaler", "uid of tts-scaler", "gone")]


async def test_a_copy_unpauses_what_the_first_one_has_paused() -> None:
    case = scaled_by_keda()
    case.autoscalers.add("tts-scaler", paused_by=PausedBy(uid="first", name=NAME))

    await scale_back_earlier(case.recovery(), [ref()])

    assert not case.autoscalers.scaled_objects["tts-scaler"].is_paused


@pytest.mark.parametrize("spec", [NO_MESSAGES, {"restart": {"strategy": "Manual"}}], ids=["mode None", "Manual"])
async def test_a_recovery_that_stops_no_worker_itself_asks_for_no_autoscaler(spec: dict[str, object]) -> None:
    case = scaled_by_keda(spec)
    case.autoscalers.from_zero.append(Autoscaler(name="tts", worker=ref()))

    await plan(case.recovery())

    assert "look at autoscalers" not in case.environment.log


async def test_an_autoscaler_that_acts_at_0_replicas_is_refused_with_what_to_do_and_nothing_is_touched() -> None:
    case = scaled_by_keda()
    case.autoscalers.from_zero.append(Autoscaler(name="tts", worker=ref()))
    working = case.start()

    said = await case.waits(Reason.AUTOSCALER_ACTIVE)

    assert 'HorizontalPodAutoscaler "tts" may scale Deployment "worker" up from 0, because its minReplicas is 0' in said
    assert "kubectl patch hpa tts -n media" in said
    assert effects(case) == []
    case.autoscalers.from_zero.clear()
    await working
    assert case.status.phase == "Succeeded"


async def test_more_scaled_objects_than_a_status_holds_are_refused_before_anything_is_touched() -> None:
    case = scaled_by_keda()
    for number in range(200):
        case.autoscalers.add(f"another-{number}")

    await case.reaches("Failed", Reason.TOO_MANY_WORKERS)

    assert effects(case) == []


async def test_scaled_objects_that_are_replaced_again_and_again_fail_the_recovery_before_the_status_is_full() -> None:
    case = scaled_by_keda()
    case.workers.pods_hang = True
    numbers = itertools.count()

    def replace_all() -> None:
        case.autoscalers.scaled_objects.clear()
        for _ in range(60):
            case.autoscalers.add(f"tts-{next(numbers)}")
        if case.workers.replicas == {"worker": 0}:
            case.workers.scale("worker", 1)

    case.autoscalers.on_call["look at autoscalers"] = replace_all
    case.workers.on_call["scale_to_zero"] = lambda: asyncio.get_running_loop().call_soon(
        case.workers.scale, "worker", 1
    )

    status = await case.reaches("Failed", Reason.TOO_MANY_WORKERS)

    assert len(status.scaled_objects) <= 200
    assert "since the start, 240 ScaledObjects of different names have scaled the workers" in status.message
    assert not any(one.is_paused for one in case.autoscalers.scaled_objects.values())
    assert case.workers.deployments["worker"].note is None
    assert case.broker.locks == {}
