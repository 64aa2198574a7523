"""The workers of a recovery that was removed by force come back, however often the API server refuses that."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Gone, Resource
from queue_recovery.recovery.reconcile import reconcile
from tests.recovery.stored import follow_delays
from tests.turns import alone

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SPEC = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})
STARTED = QueueRecoveryStatus(
    drain_start_time=timestamp(NOW), workers=[WorkerStatus(name="worker", uid="d", replicas=2)]
)
AWAY = RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "does not answer")
NO_RIGHTS = RecoveryError(Reason.FORBIDDEN, "may not")


class Case:
    """A recovery that is gone when it is read, as its last event told of it; its resource and its environment."""

    uid, namespace, name, created, cluster = "uid", "media", "stuck", NOW, "this-cluster"
    desired = DesiredState(spec=SPEC, generation=1, deleting=True)

    def __init__(
        self, *refusals: RecoveryError, status: QueueRecoveryStatus = STARTED, terminating: bool = False
    ) -> None:
        self.last_status = status
        self.workers = self
        self.tries = 0
        self.restored: list[tuple[str, ...]] = []
        self.pauses: list[float] = []
        self._refusals: Sequence[RecoveryError] = refusals
        self._terminating = terminating

    async def is_found_gone(self) -> None:
        async with asyncio.timeout(10):
            with pytest.raises(Gone):
                await reconcile(cast("Resource", self), cast("Environment", self), alone())

    def now(self) -> datetime:
        return NOW

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def read(self) -> QueueRecoveryStatus:
        raise Gone

    async def target(self, name: str) -> None:
        raise AwaitingChange(Reason.TARGET_NOT_FOUND, f"no QueueTarget {name}")

    async def broker(self, target: None) -> None:
        """There is no target to have one."""

    async def is_terminating(self) -> bool:
        return self._terminating

    async def scale_back(self, *worker: str, **_: object) -> None:
        self.tries += 1
        if self.tries <= len(self._refusals):
            raise self._refusals[self.tries - 1]
        self.restored.append(worker)


async def test_what_fails_is_tried_again_with_growing_pauses_until_the_workers_are_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = Case(AWAY, NO_RIGHTS, NO_RIGHTS, AWAY)

    with caplog.at_level(logging.INFO):
        await case.is_found_gone()

    assert case.restored == [("worker", "d", "uid")]
    assert follow_delays(case.pauses, [0.5, 1.0, 2.0, 4.0])
    still = "removed by force, and its workers are still at 0: "
    assert [record.getMessage() for record in caplog.records] == [
        f"{still}KubernetesUnavailable: does not answer",
        f"{still}Forbidden: may not",
        f"{still}KubernetesUnavailable: does not answer",
        "removed by force; its workers have their replicas again",
    ]


async def test_in_a_namespace_that_goes_too_nothing_is_tried_again() -> None:
    case = Case(NO_RIGHTS, terminating=True)

    await case.is_found_gone()

    assert (case.tries, case.pauses) == (1, [])


@pytest.mark.parametrize(
    "status",
    [QueueRecoveryStatus(), STARTED.model_copy(update={"completion_time": timestamp(NOW)})],
    ids=["not begun", "ended"],
)
async def test_one_that_holds_nothing_is_left_alone(status: QueueRecoveryStatus) -> None:
    case = Case(status=status)

    await case.is_found_gone()

    assert case.tries == 0


async def test_the_end_of_the_process_ends_the_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(*[NO_RIGHTS] * 100)
    waiting = asyncio.Event()

    async def pause(_: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(case, "pause", pause)
    working = asyncio.ensure_future(reconcile(cast("Resource", case), cast("Environment", case), alone()))
    async with asyncio.timeout(10):
        await waiting.wait()
        working.cancel()
        await asyncio.wait({working})

    assert working.cancelled()
    assert case.tries == 1
