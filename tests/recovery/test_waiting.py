"""A recovery that has begun nothing and can only wait is returned with what it has seen."""

import asyncio
import math
from datetime import timedelta

import pytest

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.recovery_status import Plan, QueueRecoveryStatus
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.phase import set_step, timestamp
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until
from tests.recovery.fakes import NOW, Case

PLAN = Plan(time=timestamp(NOW), queues=["tts"], ready=0, unacked=0, purge=0, leave=0, enqueue=0, skip=0)
PLANNED = QueueRecoveryStatus(plan=PLAN)


async def test_a_suspended_recovery_waits_without_a_deadline_and_blocks_no_other_one() -> None:
    admission = Admission(1)
    case = Case(suspend=True, status=PLANNED)

    waiting = await case.reconciled(Turn(admission, "media"))

    assert waiting == Requeue(generation=1, seconds=math.inf, for_turn=False)
    assert case.status.message.startswith("suspended: nothing to purge")
    assert [Turn(admission, "media").may_prepare() for _ in range(2)] == [True, True]


async def test_a_change_of_the_spec_while_the_recovery_reports_that_it_waits_is_not_lost() -> None:
    case = Case(suspend=True, status=PLANNED)
    case.resource.on_call["write"] = lambda: case.resource.change(suspend=False)

    waiting = await case.reconciled(Turn(Admission(1), "media"))

    assert waiting is not None
    assert waiting.generation == 1


@pytest.mark.parametrize("suspend", [True, False], ids=["suspended", "ready to begin"])
async def test_without_a_slot_to_prepare_a_recovery_waits_for_one_and_writes_nothing(*, suspend: bool) -> None:
    admission = Admission(1)
    others = [Turn(admission, "media") for _ in range(2)]
    assert all(other.may_prepare() for other in others)
    turn = Turn(admission, "media")
    case = Case(suspend=suspend, status=PLANNED)

    waiting = await case.reconciled(turn)

    assert waiting is not None
    assert waiting.for_turn
    assert case.resource.written == []
    called: list[int] = []
    turn.call_when_granted(lambda: called.append(1))
    others[0].leave()
    assert called == [1]


async def test_a_suspended_recovery_without_a_plan_says_so_and_has_all_of_its_time_once_it_is_resumed() -> None:
    case = Case(jobs=["a"], suspend=True, startingDeadlineSeconds=60)
    media = case.environment.targets.pop("media")
    working = case.start()
    message = await case.waits("TargetNotFound")
    assert message == "suspended, but no plan can be made yet: no QueueTarget media"
    assert suspended(case.status) == ("True", "Suspended", timestamp(NOW))

    case.environment.time += timedelta(days=2)
    case.resource.change(suspend=False)

    async def resumed() -> bool:
        return "fails at 2030-01-03T00:01:00Z unless this is resolved" in case.status.message

    await until(resumed, "the new deadline")
    assert suspended(case.status) == ("False", "Resumed", "2030-01-03T00:00:00Z")
    case.environment.targets["media"] = media
    case.environment.report_change()
    await working
    assert case.status.phase == "Succeeded"


async def test_a_recovery_that_ends_or_drains_is_no_longer_suspended() -> None:
    case = Case(suspend=True)
    case.broker.add("old")
    await case.reconciled()
    assert suspended(case.status)[:2] == ("True", "Suspended")
    drained = case.status.model_copy(update={"drain_start_time": timestamp(NOW)})

    case.resource.change(cancel=True)
    await case.reaches("Cancelled")
    assert suspended(case.status)[:2] == ("False", "CancelRequested")

    begun = Case(suspend=True, status=drained).recovery()
    await begun.wait_for("Draining", "")
    assert suspended(begun.status)[:2] == ("False", "Resumed")


async def test_a_recovery_that_was_never_suspended_has_no_such_condition() -> None:
    status = await Case(jobs=["a"]).reaches("Succeeded")

    assert find(status.conditions, ConditionType.SUSPENDED) is None


def suspended(status: QueueRecoveryStatus) -> tuple[str, str, str]:
    """Return the status, the reason and the time of the condition Suspended."""
    condition = find(status.conditions, ConditionType.SUSPENDED)
    assert condition is not None
    return condition.status, condition.reason, condition.last_transition_time


async def test_a_suspended_recovery_that_has_begun_is_not_returned() -> None:
    status = PLANNED.model_copy(update={"drain_start_time": timestamp(NOW)})
    for kind in (ConditionType.DRAINED, ConditionType.PURGED, ConditionType.RESTARTED):
        status = set_step(status, kind, "True", "Completed", "", now=NOW, generation=1)
    case = Case(suspend=True, status=status)
    working = case.start()

    await case.waits("Suspended")
    for _ in range(10):
        await asyncio.sleep(0)

    assert not working.done()
    working.cancel()
    await asyncio.wait({working})
