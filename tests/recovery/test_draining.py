"""The order of a drain's effects, and the pods and connections that delay the purge."""

import pytest

from queue_recovery.recovery.drain import drain
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.intent import record_intent
from queue_recovery.recovery.plan import plan
from queue_recovery.recovery.ports import Consumer
from queue_recovery.recovery.ports.resource import Superseded
from queue_recovery.recovery.purge import purge
from tests.recovery.fakes import Case

EFFECTS = ("open", "scale_to_zero", "freeze", "take", "scale_back", "claim", "push", "close", "release")


def with_a_message() -> Case:
    """Return a recovery of one job and its message."""
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    return case


async def test_the_effects_of_a_recovery_have_one_order() -> None:
    case = with_a_message()

    await case.reaches("Succeeded")

    effects = [call for call in case.environment.log if call in EFFECTS]
    assert list(dict.fromkeys(effects)) == list(EFFECTS)


async def test_the_intent_with_the_replicas_is_in_the_status_before_anything_is_held() -> None:
    case = with_a_message()
    await plan(case.recovery())

    await record_intent(case.recovery())

    assert case.status.drain_start_time is not None
    assert [(worker.name, worker.replicas) for worker in case.status.workers] == [("worker", 2)]
    assert {"open", "scale_to_zero"}.isdisjoint(case.environment.log)


async def test_a_plan_that_touches_nothing_can_be_written_again() -> None:
    case = with_a_message()

    await plan(case.recovery())
    first = case.status.plan
    await plan(case.recovery())

    assert case.status.plan == first
    assert set(EFFECTS).isdisjoint(case.environment.log)


async def test_a_process_whose_recovery_another_one_has_changed_stops_no_worker() -> None:
    case = with_a_message()
    for step in (plan, record_intent):
        await step(case.recovery())
    stale = case.recovery()
    case.resource.status = case.status.model_copy(update={"message": "written by another process"})

    with pytest.raises(Superseded):
        await drain(stale)

    assert case.workers.replicas == {"worker": 2}


async def test_pods_that_were_not_seen_to_end_have_their_grace_period_before_the_purge() -> None:
    case = with_a_message()
    case.workers.change("worker", vanished=("worker-1",), grace_seconds=30)

    await case.reaches("Succeeded")

    assert max(case.environment.pauses) == pytest.approx(31)
    assert any('pod "worker-1"' in status.message for status in case.resource.written)


async def test_a_connection_of_a_pod_that_is_gone_delays_the_purge_until_it_is_closed() -> None:
    case = with_a_message()
    case.workers.change("worker", addresses=frozenset({"10.0.0.1"}))
    case.broker.connections = [Consumer(id="7", address="10.0.0.1", age_seconds=60)]
    recovery = case.recovery()
    for step in (plan, record_intent, drain):
        await step(recovery)

    with pytest.raises(RecoveryError, match=r"UnknownConsumer.*CLIENT KILL ID 7"):
        await purge(recovery)
    case.broker.connections = []
    await purge(recovery)

    assert case.broker.queued() == []
