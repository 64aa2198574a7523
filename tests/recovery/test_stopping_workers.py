"""Stopping workers through the ports: what is noted of each, and what is said while they end."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import cast

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.recovery.checks import check_name
from queue_recovery.recovery.drain import stop_workers
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import ScaleBackNote, Worker
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.worker_changes import Awaited, WorkerChanges
from sandbox.processes import until
from tests.recovery.stored import NOW, Stored
from tests.sample_worker import WORKER
from tests.turns import alone

SPEC = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})


class Case(Stored):
    """A recovery that has recorded that its worker had 2 replicas; its resource, its world and its Deployments."""

    def __init__(self, replicas: int = 2, *, name: str = "stuck") -> None:
        noted = WorkerStatus(name=WORKER.name, uid=WORKER.uid, replicas=2, pods=0)
        super().__init__(QueueRecoveryStatus(drain_start_time=timestamp(NOW), workers=[noted]))
        self.name = name
        self.desired = DesiredState(spec=SPEC, generation=1, deleting=False)
        self.recovery = Recovery(
            resource=cast("Resource", self), environment=cast("Environment", self), status=self.stored, turn=alone()
        )
        self.workers = self
        self.worker = replace(WORKER, replicas=replicas, pods=0)
        self.notes: list[ScaleBackNote] = []

    async def follow(self, _: Sequence[str], **__: bool) -> AsyncGenerator[Sequence[Worker], None]:
        while True:
            yield [self.worker]

    async def scale_to_zero(self, worker: Worker, note: ScaleBackNote) -> int:
        self.notes.append(note)
        self.worker = replace(worker, replicas=0, note=note, generation=worker.generation + 1, drained=True)
        return self.worker.generation


@pytest.mark.parametrize("replicas", [2, 3, 1])
async def test_a_number_that_somebody_sets_between_the_intent_and_the_scaling_comes_back(
    replicas: int,
) -> None:
    case = Case(replicas)

    await stop_workers(case.recovery)

    assert [note.replicas for note in case.notes] == [replicas]
    assert [worker.replicas for worker in case.stored.workers] == [replicas]


async def test_a_zero_that_somebody_sets_meanwhile_does_not_take_the_replicas_away() -> None:
    case = Case(0)

    await stop_workers(case.recovery)

    assert [note.replicas for note in case.notes] == [2]


async def test_what_is_waited_for_is_said_also_while_something_changes_all_the_time() -> None:
    case = Case()

    async def restless() -> AsyncGenerator[Sequence[Worker], None]:
        while True:
            await asyncio.sleep(0.1)
            yield [WORKER]

    async with aclosing(restless()) as followed, asyncio.timeout(10):
        changes = WorkerChanges(case.recovery, followed)
        while case.stored.message != "waiting for the last pod":
            await changes.next(Awaited(reason=Reason.DRAINING, message="waiting for the last pod"))


async def test_what_is_overdue_is_said_also_when_nothing_changes_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    case, went_on = Case(), asyncio.Event()
    soon = NOW + timedelta(seconds=30)
    monkeypatch.setattr(case, "now", lambda: soon if case.stored.message else NOW)
    waiting = Awaited(reason=Reason.DRAINING, message="waits", until=soon, overdue=" for too long")

    async def still() -> AsyncGenerator[Sequence[Worker], None]:
        await went_on.wait()
        yield [WORKER]

    async with aclosing(still()) as followed, asyncio.timeout(10):
        following = asyncio.ensure_future(WorkerChanges(case.recovery, followed).next(waiting))

        async def has_told() -> bool:
            return case.stored.message == "waits for too long"

        await until(has_told, "it to be said")
        went_on.set()
        await following


def test_a_name_that_is_too_long_for_a_label_is_refused_before_anything_is_touched() -> None:
    check_name(Case(name="n" * 63).recovery)
    with pytest.raises(RecoveryError, match="the name has 64 characters"):
        check_name(Case(name="n" * 64).recovery)
