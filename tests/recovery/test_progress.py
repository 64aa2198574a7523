"""A long step says how far it is, and a short one nothing."""

import asyncio
from typing import cast

import pytest

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.recovery import progress as module
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.progress import with_progress
from queue_recovery.recovery.recovery import Recovery
from sandbox.processes import until
from tests.recovery.stored import Stored
from tests.turns import alone

SPEC = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})


class Case(Stored):
    """A recovery in a step; both its resource and its environment."""

    desired = DesiredState(spec=SPEC, generation=1, deleting=False)

    def __init__(self) -> None:
        super().__init__(QueueRecoveryStatus())
        self.recovery = Recovery(
            resource=cast("Resource", self), environment=cast("Environment", self), status=self.stored, turn=alone()
        )
        self.moved = 0

    async def doing(self) -> tuple[str, str]:
        self.moved += 1
        return "Purging", f"{self.moved} moved"


async def test_a_step_that_takes_long_says_how_far_it_is_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOON", 0.01)
    monkeypatch.setattr(module, "_EVERY", 0.01)
    case, over = Case(), asyncio.Event()

    async def step() -> str:
        await over.wait()
        return "done"

    working = asyncio.ensure_future(with_progress(case.recovery, step(), case.doing))

    async def has_told() -> bool:
        return case.stored.message == "3 moved"

    await until(has_told, "the third word")
    over.set()
    assert await working == "done"
    assert (case.stored.phase, case.recovery.status) == ("Pending", case.stored)


async def test_a_short_step_says_nothing_and_its_error_is_passed_on() -> None:
    case = Case()

    async def step() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await with_progress(case.recovery, step(), case.doing)

    assert case.moved == 0
