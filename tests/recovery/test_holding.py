"""The message of a suspended recovery: what it would do, or what it has done, what is left and what it holds."""

from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.examples import SkippedJob
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import JobTotals, Plan, QueueRecoveryStatus
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.holding import hold
from queue_recovery.recovery.phase import set_step, timestamp
from queue_recovery.recovery.ports import Task
from tests.recovery.fake_database import Record
from tests.recovery.fakes import NOW, UID, Case

PLAN = Plan(time=timestamp(NOW), queues=["tts"], ready=9, unacked=3, purge=12, enqueue=12, skip=0)
ROWS = [SkippedJob(id=f"{n}", reason="NotRecoverable", message="done") for n in (10, 11)]
AWAY = RecoveryError(Reason.BROKER_UNAVAILABLE, "it is away")
PUSHED = {f"{n}:str:{n}": Task(key=f"{n}:str:{n}", task_id=f"{n}", task="t", args="[]", kwargs="{}") for n in range(3)}


def suspended(status: QueueRecoveryStatus) -> Case:
    """Return a suspended recovery of 12 jobs, of which the broker has enqueued 3."""
    case = Case(suspend=True, jobs=[f"{n}" for n in range(12)], status=status)
    case.broker.records[UID] = Record(pushed=PUSHED)
    return case


async def message(case: Case) -> str:
    """Hold the recovery, and return its message."""
    await hold(case.recovery())
    return case.status.message


def enqueuing() -> QueueRecoveryStatus:
    """Return the status of a recovery that was suspended between jobs, written after the first job."""
    status = QueueRecoveryStatus(
        plan=PLAN,
        drain_start_time=timestamp(NOW),
        jobs=JobTotals.counted(12, enqueued=1, skipped=len(ROWS)),
        skipped=ROWS,
    )
    return set_step(status, ConditionType.RESTARTED, "True", "Completed", "", now=NOW, generation=1)


async def test_before_it_begins_the_message_has_the_plan_and_how_to_go_on() -> None:
    assert await message(suspended(QueueRecoveryStatus(plan=PLAN))) == (
        "suspended: would purge 12 messages (9 ready, 3 unacked), enqueue 12 jobs. "
        "To continue, set spec.suspend to false; to end the recovery, set spec.cancel to true"
    )


async def test_between_jobs_the_message_has_the_enqueued_the_remaining_and_the_deadline() -> None:
    case = suspended(enqueuing())

    assert await message(case) == (
        "suspended: 3 of 12 jobs enqueued, 7 to go; the workers are running. "
        'Until it is resumed, the lock of "tts" is held, and the recovery fails at 2030-01-01T00:30:00Z. '
        "To continue, set spec.suspend to false; to end the recovery, set spec.cancel to true"
    )
    assert case.status.jobs == JobTotals.counted(12, enqueued=3, skipped=2)


async def test_jobs_that_were_skipped_while_nothing_ran_do_not_count_as_remaining() -> None:
    before = enqueuing().model_copy(update={"jobs": JobTotals.counted(12)})

    assert (await message(suspended(before))).startswith("suspended: 3 of 12 jobs enqueued, 7 to go")


async def test_without_the_broker_the_message_has_the_figures_of_the_status() -> None:
    case = suspended(enqueuing())
    case.environment.fail_always("broker", AWAY)

    assert (await message(case)).startswith("suspended: 1 of 12 jobs enqueued, 9 to go")
