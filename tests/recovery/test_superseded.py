"""A status that is not taken is read again at once, and with growing pauses when it is not taken again."""

import asyncio
from typing import cast

from typing_extensions import override

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.recovery.backoff import LONGEST_DELAY
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource, Superseded
from queue_recovery.recovery.reconcile import reconcile
from tests.recovery.stored import NOW, Stored, follow_delays
from tests.turns import alone

SPEC = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})


class Case(Stored):
    """A deleted recovery whose status is taken after so many writes and reads; its resource and its environment."""

    desired = DesiredState(spec=SPEC, generation=1, deleting=True)

    def __init__(self, *, refused: int) -> None:
        super().__init__(QueueRecoveryStatus())
        self.pauses: list[float] = []
        self._refused = refused

    async def works(self) -> None:
        """Work until it has ended."""
        async with asyncio.timeout(10):
            await reconcile(cast("Resource", self), cast("Environment", self), alone())

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @override
    async def read(self) -> QueueRecoveryStatus:
        await asyncio.sleep(0)
        return await super().read()

    @override
    async def write(self, status: QueueRecoveryStatus) -> None:
        if self._refused:
            self._refused -= 1
            raise Superseded
        await super().write(status)


async def test_what_another_process_has_written_once_is_read_at_once() -> None:
    case = Case(refused=1)

    await case.works()

    assert case.stored.completion_time == timestamp(NOW)
    assert case.pauses == []


async def test_between_writes_that_are_refused_again_and_again_there_are_pauses_that_grow_and_are_bounded() -> None:
    case = Case(refused=9)

    await case.works()

    assert case.stored.completion_time == timestamp(NOW)
    assert follow_delays(case.pauses, [0.5, 1.0, 2.0, 4.0, 8.0, *[LONGEST_DELAY] * 3])
