"""A deleted recovery that cannot reach its broker any more: when it ends without it, and when it waits."""

import asyncio
from typing import cast

import pytest
from typing_extensions import override

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.phase import is_terminal, timestamp
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.reconcile import reconcile
from sandbox.processes import until
from tests.recovery.stored import NOW, Stored
from tests.turns import alone

SPEC = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})


class Case(Stored):
    """A recovery that is deleted while its workers are at 0; both its resource and its environment."""

    def __init__(
        self, *, target: RecoveryError, workers: RecoveryError | None = None, terminating: bool = False
    ) -> None:
        workers_at_zero = [WorkerStatus(name="worker", uid="d", replicas=2)]
        super().__init__(QueueRecoveryStatus(drain_start_time=timestamp(NOW), workers=workers_at_zero))
        self.desired = DesiredState(spec=SPEC, generation=1, deleting=True)
        self.told: list[str] = []
        self.restored: list[tuple[str, ...]] = []
        self.workers = self
        self._target, self._refusal, self._terminating = target, workers, terminating

    async def ends(self) -> bool:
        """Work until it has ended, or is found to wait."""
        working = asyncio.ensure_future(reconcile(cast("Resource", self), cast("Environment", self), alone()))

        async def decided() -> bool:
            return working.done() or len(self.told) > 1

        await until(decided, "it to end or to wait")
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
            return False
        await working
        assert is_terminal(self.stored)
        return True

    @override
    async def write(self, status: QueueRecoveryStatus) -> None:
        self.told.append(status.message)
        await super().write(status)

    async def target(self, name: str) -> None:
        del name
        raise self._target

    async def broker(self, target: None) -> None:
        """There is no target to have one."""

    async def is_terminating(self) -> bool:
        return self._terminating

    async def scale_back(self, *worker: str, **_: object) -> None:
        if self._refusal is not None:
            raise self._refusal
        self.restored.append(worker)


NO_TARGET = AwaitingChange(Reason.TARGET_NOT_FOUND, "no QueueTarget")
NO_SECRET = AwaitingChange(Reason.SECRET_NOT_FOUND, "no Secret")
NO_RIGHTS = RecoveryError(Reason.FORBIDDEN, "may not")


async def test_without_its_target_it_ends_once_its_workers_are_back() -> None:
    case = Case(target=NO_TARGET)

    assert await case.ends()

    assert case.restored == [("worker", "d", "uid")]
    assert case.stored.phase == "Cancelled"
    assert "the next recovery of the queue ends its run: no QueueTarget" in case.stored.message


async def test_without_its_target_it_waits_while_its_workers_cannot_be_brought_back() -> None:
    assert not await Case(target=NO_TARGET, workers=NO_RIGHTS).ends()


async def test_without_its_secret_it_waits() -> None:
    assert not await Case(target=NO_SECRET).ends()


async def test_it_waits_without_its_target_when_it_is_not_deleted() -> None:
    case = Case(target=NO_TARGET)
    case.desired = DesiredState(spec=SPEC.model_copy(update={"cancel": True}), generation=1, deleting=False)

    assert not await case.ends()


@pytest.mark.parametrize("workers", [None, NO_RIGHTS], ids=["with rights", "without rights"])
async def test_in_a_namespace_that_is_being_deleted_it_ends_without_what_is_gone(workers: RecoveryError | None) -> None:
    assert await Case(target=NO_SECRET, workers=workers, terminating=True).ends()


async def test_in_a_namespace_that_is_being_deleted_a_server_that_is_away_is_tried_again_first() -> None:
    away = RecoveryError(Reason.BROKER_UNAVAILABLE, "does not answer")

    assert not await Case(target=away, terminating=True).ends()
