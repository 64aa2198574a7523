"""What a suspended recovery says: what it would do, or what it has done, what is left and what it holds."""

from typing import cast

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import JobTotals, Plan, QueueRecoveryStatus
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.holding import hold
from queue_recovery.recovery.phase import set_step, timestamp
from queue_recovery.recovery.ports import Run
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import DesiredState, Resource
from queue_recovery.recovery.recovery import Recovery
from tests.recovery.stored import NOW, Stored
from tests.turns import alone

SPEC = QueueRecoverySpec.model_validate(
    {"targetRef": {"name": "media"}, "queue": "tts", "suspend": True, "jobs": [{"id": f"{n}"} for n in range(12)]}
)
PLAN = Plan(time=timestamp(NOW), queues=["tts"], ready=9, unacked=3, purge=12, enqueue=12, skip=0)
ROWS = [SkippedJob(id=f"{n}", reason="NotRecoverable", message="done") for n in (10, 11)]
AWAY = RecoveryError(Reason.BROKER_UNAVAILABLE, "it is away")


class Case(Stored):
    """A suspended recovery of 12 jobs; its resource, its world and its broker."""

    desired = DesiredState(spec=SPEC, generation=1, deleting=False)

    def __init__(self, status: QueueRecoveryStatus, broker: RecoveryError | None = None) -> None:
        super().__init__(status)
        self._away = broker

    async def holds(self) -> str:
        """Hold, and return what is said."""
        await hold(
            Recovery(
                resource=cast("Resource", self), environment=cast("Environment", self), status=self.stored, turn=alone()
            )
        )
        return self.stored.message

    async def target(self, _: str) -> None:
        """Nothing is asked of it."""

    async def broker(self, _: object) -> "Case":
        if self._away is not None:
            raise self._away
        return self

    def run(self, _: Run) -> "Case":
        return self

    async def pushed(self) -> frozenset[str]:
        return frozenset({"0:str:0", "1:str:1", "2:str:2"})


def enqueuing() -> QueueRecoveryStatus:
    """Return the status of one that was suspended between jobs; it was written when one had been enqueued."""
    status = QueueRecoveryStatus(
        plan=PLAN,
        drain_start_time=timestamp(NOW),
        jobs=JobTotals.counted(12, enqueued=1, skipped=len(ROWS)),
        skipped=ROWS,
    )
    return set_step(status, ConditionType.RESTARTED, "True", "Completed", "", now=NOW, generation=1)


async def test_before_it_begins_it_says_what_it_would_do_and_how_to_go_on() -> None:
    assert await Case(QueueRecoveryStatus(plan=PLAN)).holds() == (
        "suspended: would purge 12 messages (9 ready, 3 unacked), enqueue 12 jobs. "
        "Set spec.suspend to false to go on, or spec.cancel to true to end it"
    )


async def test_between_jobs_it_says_how_many_are_enqueued_by_now_how_many_are_left_and_until_when_it_holds() -> None:
    case = Case(enqueuing())

    assert await case.holds() == (
        "suspended: 3 of 12 jobs enqueued, 7 left; the workers are running. "
        'It holds the lock of "tts" until 2030-01-01T00:30:00Z at most. '
        "Set spec.suspend to false to go on, or spec.cancel to true to end it"
    )
    assert case.stored.jobs == JobTotals.counted(12, enqueued=3, skipped=2)


async def test_jobs_that_were_skipped_while_nothing_ran_are_not_left() -> None:
    before = enqueuing().model_copy(update={"jobs": JobTotals.counted(12)})

    assert (await Case(before).holds()).startswith("suspended: 3 of 12 jobs enqueued, 7 left")


async def test_a_broker_that_is_away_keeps_nobody_from_seeing_that_it_is_suspended() -> None:
    assert (await Case(enqueuing(), AWAY).holds()).startswith("suspended: 1 of 12 jobs enqueued, 9 left")
