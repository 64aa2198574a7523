"""Stopping workers through the ports: the note on each, and the status while they end."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import timedelta

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.recovery.checks import check_name
from queue_recovery.recovery.drain import stop_workers
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.worker_changes import Awaited, WorkerChanges
from sandbox.processes import until
from tests.recovery.fakes import NOW, Case
from tests.sample_worker import WORKER


def recorded(replicas: int = 2) -> Case:
    """Return a recovery that has recorded 2 replicas of its worker, which has this many now."""
    workers = [WorkerStatus(name="worker", uid="uid of worker", replicas=2, pods=0)]
    case = Case(status=QueueRecoveryStatus(drain_start_time=timestamp(NOW), workers=workers))
    case.workers.add("worker", replicas=replicas, pods=0)
    return case


def noted(case: Case) -> int | None:
    """Return the replicas in the worker's note."""
    note = case.workers.deployments["worker"].note
    return None if note is None else note.replicas


@pytest.mark.parametrize("replicas", [2, 3, 1])
async def test_replicas_that_another_client_sets_between_the_intent_and_the_scaling_are_scaled_back_to(
    replicas: int,
) -> None:
    case = recorded(replicas)

    await stop_workers(case.recovery())

    assert noted(case) == replicas
    assert [worker.replicas for worker in case.status.workers] == [replicas]
    assert case.workers.replicas == {"worker": 0}


async def test_a_zero_that_another_client_sets_meanwhile_does_not_replace_the_recorded_replicas() -> None:
    case = recorded(0)

    await stop_workers(case.recovery())

    assert noted(case) == 2


async def test_what_is_awaited_is_reported_even_while_changes_keep_coming() -> None:
    case = recorded()

    async def restless() -> AsyncGenerator[Sequence[Worker], None]:
        while True:
            await asyncio.sleep(0.1)
            yield [WORKER]

    async with aclosing(restless()) as followed, asyncio.timeout(10):
        changes = WorkerChanges(case.recovery(), followed)
        while case.status.message != "waiting for the last pod":
            await changes.next(Awaited(reason=Reason.DRAINING, message="waiting for the last pod"))


async def test_what_is_overdue_is_reported_even_when_nothing_changes_any_more() -> None:
    case, went_on = recorded(), asyncio.Event()
    soon = NOW + timedelta(seconds=30)
    waiting = Awaited(reason=Reason.DRAINING, message="waits", until=soon, overdue=" for too long")

    async def still() -> AsyncGenerator[Sequence[Worker], None]:
        await went_on.wait()
        yield [WORKER]

    async def says(message: str) -> None:
        async def has_said() -> bool:
            return case.status.message == message

        await until(has_said, message)

    async with aclosing(still()) as followed, asyncio.timeout(10):
        following = asyncio.ensure_future(WorkerChanges(case.recovery(), followed).next(waiting))
        await says("waits")
        case.environment.time = soon
        await says("waits for too long")
        went_on.set()
        await following


def test_a_name_that_is_too_long_for_a_label_is_refused_before_anything_is_touched() -> None:
    check_name(Case(name="n" * 63).recovery())
    with pytest.raises(RecoveryError, match="the name has 64 characters"):
        check_name(Case(name="n" * 64).recovery())
