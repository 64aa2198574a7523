"""Pods whose end nobody saw count as ended once their grace period is over, and are named until then."""

from datetime import UTC, datetime, timedelta

import pytest

from queue_recovery.api.recovery_status import WorkerStatus
from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.vanished import missed, vanished
from tests.sample_worker import ref

SCALED = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def worker(name: str, *gone: str, pods: int = 0, grace: int = 30) -> Worker:
    return Worker(
        ref=ref(name),
        uid=name,
        resource_version="5",
        generation=2,
        replicas=0,
        paused=False,
        note=None,
        note_is_damaged=False,
        pods=pods,
        addresses=frozenset(),
        stopping="",
        stops_by=None,
        vanished=gone,
        grace_seconds=grace,
        drained=True,
        rollout=None,
    )


def remembered(name: str, pods: int, drained_generation: int | None = None) -> WorkerStatus:
    return WorkerStatus(name=name, uid=name, replicas=2, pods=pods, drained_generation=drained_generation)


def test_pods_that_went_before_the_first_look_are_missed_until_all_have_been_seen_to_be_drained() -> None:
    now = [worker("fewer", pods=1), worker("more", pods=4), worker("none"), worker("seen")]
    before = [remembered("fewer", 3), remembered("more", 3), remembered("none", 0), remembered("seen", 3, 2)]

    assert missed(now, before) == {ref("fewer"): 2}


def test_nothing_is_awaited_when_every_pod_was_seen_to_end() -> None:
    assert vanished([worker("tts"), worker("mail")], {}, SCALED) is None


def test_each_is_awaited_until_the_longest_grace_period_of_those_that_miss_a_pod() -> None:
    found = vanished(
        [worker("a", "a-1", grace=20), worker("b", grace=60), worker("c", grace=600)], {ref("b"): 1}, SCALED
    )

    assert found is not None
    assert found.until == SCALED + timedelta(seconds=61)
    assert "Waiting for the grace period to end at 2026-01-01T12:01:01Z" in found.message
    assert found.message.startswith('the end of pod "a-1"; 1 pod of "b" was not observed: ')


@pytest.mark.parametrize(("grace", "counted"), [(2**63 - 1, 31_536_000), (10**12, 31_536_000), (-(2**63), 0)])
def test_a_grace_period_of_any_size_is_awaited_for_a_year_at_most(grace: int, counted: int) -> None:
    found = vanished([worker("a", "a-1", grace=grace)], {}, SCALED)

    assert found is not None
    assert found.until == SCALED + timedelta(seconds=counted + 1)


def test_three_pods_of_each_deployment_are_named_and_the_others_counted() -> None:
    found = vanished([worker("a", "p1", "p2", "p3", "p4")], {ref("a"): 2}, SCALED)

    assert found is not None
    assert found.message.startswith('the end of pod "p1", pod "p2", pod "p3", 3 other pods of "a" was not observed')
