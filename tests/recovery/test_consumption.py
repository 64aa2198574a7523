"""A restart has helped once messages are consumed again: what shows it, and what does not."""

import re
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.recovery.consumption import conclude, describe, is_consumed, shown_by_waiting
from queue_recovery.recovery.ports import Consumer, ListEnd, QueueEnds
from tests.recovery.fakes import NOW, Case

MOST_READ = 3
"""Messages at the tail of a list that a look reads, in these tests."""


def look(messages: Sequence[str], newest: float | None = None) -> QueueEnds:
    """Return what a look shows of a list, given as its messages, the one that is consumed next last."""
    tail = [one.encode() for one in reversed(messages[-MOST_READ:])]
    end = ListEnd(length=len(messages), length_after=len(messages), tail=tail)
    return QueueEnds(lists={"tts": end}, newest=newest)


@pytest.mark.parametrize(
    ("before", "now", "consumed"),
    [
        pytest.param(look("abc"), look("abc"), False, id="nothing moved"),
        pytest.param(look("abc"), look("xyabc"), False, id="producers"),
        pytest.param(look("abc"), look("ab"), True, id="one less"),
        pytest.param(look("abc"), look("xyab"), True, id="one less, and producers"),
        pytest.param(look("abc"), look("abcx"), False, id="a restore sweep"),
        pytest.param(look("abc"), look("abcxyz"), False, id="a restore sweep of many"),
        pytest.param(look("abc"), look("abxyz"), True, id="one less, and a restore sweep"),
        pytest.param(look(""), look(""), False, id="empty"),
        pytest.param(look(""), look("abc"), False, id="no longer empty"),
        pytest.param(look("", 5), look("", 5), False, id="the same delivery"),
        pytest.param(look("", 5), look("", 4), False, id="the newest was acknowledged"),
        pytest.param(look("", None), look("", 4), True, id="the first delivery"),
        pytest.param(look("", 5), look("", 6), True, id="a newer delivery"),
    ],
)
def test_a_newer_delivery_or_a_lost_message_shows_that_a_queue_is_consumed(
    before: QueueEnds, now: QueueEnds, *, consumed: bool
) -> None:
    assert is_consumed(before, now) is consumed


@given(st.lists(st.sampled_from(["push", "restore"]), max_size=12), st.integers(0, 6))
def test_a_queue_that_nobody_consumes_is_never_said_to_be_consumed(events: list[str], length: int) -> None:
    messages = [f"m{n}" for n in range(length)]
    before = look(messages)
    for number, event in enumerate(events):
        messages.insert(0 if event == "push" else len(messages), f"new{number}")

    assert not is_consumed(before, look(messages))


@pytest.mark.parametrize(
    ("connections", "shown"),
    [
        ([], ""),
        ([("10.1.0.7", 5)], "the queue is empty, and 1 connection of its workers waits for messages"),
        ([("10.1.0.7", 5), ("10.1.0.7", 62)], "the queue is empty, and 2 connections of its workers wait for messages"),
        ([("10.1.0.7", 63)], ""),
        ([("10.9.9.9", 5)], None),
    ],
    ids=["nobody", "a worker", "workers", "a worker from before the restart", "somebody"],
)
def test_of_an_empty_queue_a_connection_since_the_restart_shows_that_a_worker_waits(
    connections: list[tuple[str, int]], shown: str | None
) -> None:
    consumers = [Consumer(id="1", address=address, age_seconds=age) for address, age in connections]

    assert shown_by_waiting(consumers, {"10.1.0.7"}, 60) == shown


def test_queues_that_are_alike_are_described_together() -> None:
    shown = {"a": "messages are consumed", "b": None, "c": "messages are consumed"}
    assert describe(shown).startswith('"a", "c": messages are consumed; "b": the queue is empty, and the broker does')


def test_if_all_slots_are_in_use_the_deliveries_since_the_restart_are_what_is_shown() -> None:
    how, why = conclude(look("abc", 200.0), 100, 260, seconds=60, is_visible=True)
    assert "no message was taken in the last 60 s, but workers hold messages" in (how or "")
    assert why == ""
    assert conclude(look("abc", 99.0), 100, 260, seconds=60, is_visible=True)[1].startswith("3 messages wait")


def test_a_delivery_in_the_future_is_no_proof_because_a_worker_whose_clock_is_ahead_may_have_left_it() -> None:
    assert conclude(look("abc", 265.0), 100, 260, seconds=60, is_visible=True)[1] == ""
    assert conclude(look("abc", 266.0), 100, 260, seconds=60, is_visible=True)[1].startswith("3 messages wait")
    assert conclude(look("abc", float("inf")), 100, 260, seconds=60, is_visible=True)[1].startswith("3 messages wait")


def restarting(**fields: object) -> Case:
    """Return a recovery that restarts workers which consume nothing."""
    case = Case({"purge": {"mode": "None"}, "restart": {"annotate": True, **fields}}, jobs=["a"])
    case.broker.is_consumed = False
    return case


async def test_a_restart_that_does_not_help_fails_and_enqueues_nothing() -> None:
    case = restarting(consumptionDeadlineSeconds=30)
    case.broker.add("waiting")

    status = await case.reaches("Failed", "NotConsumed")

    assert case.environment.now() - NOW >= timedelta(seconds=30)
    assert 'queue "tts": 1 message waits, and none was consumed within 30 s' in status.message
    assert "kubectl logs deployment/worker" in status.message
    assert (case.jobs.statuses, case.broker.queued(), case.broker.locks) == ({"a": "failed"}, ["waiting"], {})
    assert case.workers.replicas == {"worker": 2}


async def test_while_a_restart_is_verified_the_phase_says_so_and_a_late_delivery_is_enough() -> None:
    case = restarting()
    case.broker.add("waiting")
    phases, messages = [], []

    def later() -> None:
        phases.append(case.status.phase)
        messages.append(case.status.message)
        case.broker.is_consumed = case.environment.now() > NOW + timedelta(seconds=50)

    case.environment.on_pause = later

    status = await case.reaches("Succeeded")

    assert set(phases) == {"Verifying"}
    (message,) = set(messages)
    assert re.fullmatch(
        r"fails at 2030-01-01T00:01:\d\dZ unless this is resolved: "
        "waiting until the restarted workers consume messages",
        message,
    )
    assert [(one.status, one.reason) for one in status.conditions if one.type == "Consumed"] == [("True", "Completed")]
    assert case.broker.queued() == ["waiting", case.task_id("a")]


async def test_an_empty_queue_is_shown_to_be_consumed_by_a_worker_that_waits_for_messages() -> None:
    case = restarting()
    case.workers.add("worker", connects_from=frozenset(["10.1.0.7"]))
    case.broker.connections = [Consumer(id="1", address="10.1.0.7", age_seconds=0)]

    status = await case.reaches("Succeeded")

    assert "the queue is empty, and 1 connection of its workers waits for messages" in status.message


async def test_a_worker_that_connects_after_somebody_unknown_is_seen_too() -> None:
    case = restarting()
    case.workers.add("worker", connects_from=frozenset(["10.1.0.7"]))
    case.broker.connections = [Consumer(id="1", address="10.9.9.9", age_seconds=0)]
    worker = Consumer(id="2", address="10.1.0.7", age_seconds=0)
    case.environment.on_pause = lambda: setattr(case.broker, "connections", [worker])

    status = await case.reaches("Succeeded")

    assert "1 connection of its workers waits for messages" in status.message


async def test_an_empty_queue_for_which_no_worker_waits_is_not_consumed() -> None:
    status = await restarting().reaches("Failed", "NotConsumed")

    assert "it is empty, and no connection of its workers waited for messages" in status.message


async def test_if_the_broker_does_not_show_who_waits_for_an_empty_queue_the_recovery_says_that_it_does_not_know() -> (
    None
):
    case = restarting()
    case.broker.connections = None

    status = await case.reaches("Succeeded")

    assert "the broker does not show whether its workers wait" in status.message
    conditions = [(one.status, one.reason) for one in status.conditions if one.type == "Consumed"]
    assert conditions == [("Unknown", "ConsumptionUnknown")]


async def test_a_process_that_comes_after_the_deadline_looks_too_before_it_gives_up() -> None:
    number, died = 0, True
    while died:
        case = restarting()
        case.broker.is_consumed = True
        number += 1
        died = await case.dies_at(number)
        case.environment.time += timedelta(minutes=10)

        await case.reaches("Succeeded")
        assert case.workers.restarted == ["worker"], number
