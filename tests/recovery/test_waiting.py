"""A recovery that has begun nothing and can only wait is handed back with what it has seen."""

import asyncio
import math
from collections.abc import Callable
from typing import NoReturn, cast

import pytest
from typing_extensions import override

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Plan, QueueRecoveryStatus
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.errors import AwaitingChange
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.reconcile import reconcile
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until
from tests.recovery.stored import NOW, Stored

HELD = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", "suspend": True})
ON = HELD.model_copy(update={"suspend": False})
PLAN = Plan(time=timestamp(NOW), queues=["tts"], ready=0, unacked=0, purge=0, leave=0, enqueue=0, skip=0)


class Case(Stored):
    """A planned recovery; both its resource and its environment."""

    def __init__(self, spec: QueueRecoverySpec, **status: object) -> None:
        super().__init__(QueueRecoveryStatus(plan=PLAN).model_copy(update=status))
        self.desired = DesiredState(spec=spec, generation=3, deleting=False)
        self.on_write: Callable[[], None] = lambda: None

    async def target(self, name: str) -> NoReturn:
        raise AwaitingChange(Reason.TARGET_NOT_FOUND, f"no target {name}")

    async def broker(self, _: object) -> NoReturn:
        raise NotImplementedError

    async def works(self, turn: Turn) -> Requeue | None:
        async with asyncio.timeout(10):
            return await reconcile(cast("Resource", self), cast("Environment", self), turn)

    @override
    async def write(self, status: QueueRecoveryStatus) -> None:
        await super().write(status)
        self.on_write()


async def test_a_suspended_one_waits_without_a_deadline_and_keeps_nobody_waiting() -> None:
    admission = Admission(1)
    case = Case(HELD)

    waiting = await case.works(Turn(admission, "media"))

    assert waiting == Requeue(generation=3, seconds=math.inf, for_turn=False)
    assert case.stored.message.startswith("suspended: nothing to purge")
    assert [Turn(admission, "media").may_prepare() for _ in range(2)] == [True, True]


async def test_what_is_asked_for_while_it_says_that_it_waits_is_news() -> None:
    case = Case(HELD)

    def change() -> None:
        case.desired = DesiredState(spec=ON, generation=4, deleting=False)

    case.on_write = change
    waiting = await case.works(Turn(Admission(1), "media"))

    assert waiting is not None
    assert waiting.generation == 3


@pytest.mark.parametrize("spec", [HELD, ON], ids=["suspended", "to be begun"])
async def test_without_a_slot_to_prepare_it_waits_for_one_and_says_nothing(spec: QueueRecoverySpec) -> None:
    admission = Admission(1)
    others = [Turn(admission, "media") for _ in range(2)]
    assert all(other.may_prepare() for other in others)
    turn = Turn(admission, "media")
    case = Case(spec)

    waiting = await case.works(turn)

    assert waiting is not None
    assert waiting.for_turn
    assert case.stored.message == ""
    called: list[int] = []
    turn.call_when_granted(lambda: called.append(1))
    others[0].leave()
    assert called == [1]


async def test_a_suspended_one_that_has_begun_is_kept() -> None:
    case = Case(HELD, drain_start_time=timestamp(NOW))
    done = {"status": "True", "reason": "Completed", "message": "", "lastTransitionTime": timestamp(NOW)}
    conditions = [{"type": kind, "observedGeneration": 3, **done} for kind in ("Drained", "Purged", "Restarted")]
    dumped = case.stored.model_dump(by_alias=True, exclude_none=True) | {"conditions": conditions}
    case.stored = QueueRecoveryStatus.model_validate(dumped)
    working = asyncio.ensure_future(case.works(Turn(Admission(1), "media")))

    async def held() -> bool:
        return Reason.SUSPENDED in str(case.stored.conditions)

    await until(held, "it to say that it is held")
    for _ in range(10):
        await asyncio.sleep(0)
    assert not working.done()
    working.cancel()
    await asyncio.wait({working})
