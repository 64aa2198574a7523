"""A recovery that puts the messages of an earlier one back, through the ports."""

from datetime import timedelta

import pytest

from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.recovery.phase import moment
from queue_recovery.recovery.ports.environment import Earlier
from tests.recovery.fakes import UID, Case, FakeEnvironment, target

NEXT_UID = "00000000-0000-0000-0000-000000000002"


async def after_another(*, queue: str = "tts", retention_seconds: int = 60) -> FakeEnvironment:
    """Return a namespace in which the recovery "stuck" has quarantined two messages."""
    case = Case(queue=queue, purge={"retentionSeconds": retention_seconds})
    case.broker.add("one", "two")
    await case.reaches("Succeeded")
    case.environment.recoveries["stuck"] = Earlier(uid=UID, spec=case.resource.desired.spec, status=case.status)
    return case.environment


def restoring(environment: FakeEnvironment, *, suspend: bool = False, queue: str = "tts", **restore: object) -> Case:
    """Return a recovery that undoes the earlier one."""
    return Case(
        environment=environment,
        uid=NEXT_UID,
        name="undo",
        suspend=suspend,
        queue=queue,
        restoreFrom={"name": "stuck", **restore},
    )


@pytest.mark.parametrize("queue", ["tts", "*"], ids=["of the queue", "of every queue"])
async def test_the_messages_of_an_earlier_recovery_are_put_back_without_stopping_a_worker(queue: str) -> None:
    case = restoring(await after_another(queue=queue))
    scaled = case.workers.calls.count("scale_to_zero")

    status = await case.reaches("Succeeded", "Completed")

    assert case.broker.queued() == ["one", "two"]
    assert status.message == "2 messages put back, 0 left in the quarantine"
    assert case.workers.calls.count("scale_to_zero") == scaled
    assert case.broker.locks == {}


async def test_the_longest_names_of_a_queue_of_a_recovery_of_every_queue_fit_into_the_status() -> None:
    longest = 200 * "q"
    first = Case(queue="*")
    first.environment.targets["media"] = target({longest: ["worker"]})
    first.broker.add("one", queue=longest)
    await first.reaches("Succeeded")
    quarantine = first.status.quarantine
    assert quarantine is not None
    prefixed = quarantine.model_copy(update={"name": f"{100 * 'p'}queuerecovery.dev:quarantine:{UID}"})
    status = first.status.model_copy(update={"quarantine": prefixed})
    first.environment.recoveries["stuck"] = Earlier(uid=UID, spec=first.resource.desired.spec, status=status)

    case = restoring(first.environment, queue=longest)
    await case.reaches("Succeeded")

    assert QueueRecoveryStatus.model_validate_json(case.status.model_dump_json(by_alias=True)) == case.status


async def test_only_the_named_messages_are_put_back() -> None:
    case = restoring(await after_another(), taskIds=["two"])

    status = await case.reaches("Succeeded")

    assert case.broker.queued() == ["two"]
    assert status.restored is not None
    assert (status.restored.restored, status.restored.left) == (1, 1)


async def test_a_suspended_one_lists_the_messages_and_puts_them_back_when_it_is_resumed() -> None:
    case = restoring(await after_another(), suspend=True)
    await case.reconciled()
    assert case.status.plan is not None
    assert [one.task_id for one in case.status.plan.quarantined or []] == ["one", "two"]
    assert case.broker.queued() == []

    case.resource.change(suspend=False)
    await case.reaches("Succeeded")

    assert case.broker.queued() == ["one", "two"]


@pytest.mark.parametrize(
    ("reason", "name", "task_ids"),
    [
        ("RecoveryNotFound", "unknown", None),
        ("NothingToRestore", "stuck", ["three"]),
    ],
)
async def test_a_restore_that_cannot_do_anything_fails(reason: str, name: str, task_ids: list[str] | None) -> None:
    case = restoring(await after_another(), name=name, taskIds=task_ids)

    await case.reaches("Failed", reason)

    assert case.broker.queued() == []


async def test_a_queue_of_which_a_recovery_of_every_queue_took_nothing_is_named() -> None:
    first = Case(queue="*")
    first.environment.targets["media"] = target({"mail": ["worker"], "tts": ["worker"]})
    first.broker.add("one", queue="mail")
    await first.reaches("Succeeded")
    first.environment.recoveries["stuck"] = Earlier(uid=UID, spec=first.resource.desired.spec, status=first.status)

    never = await restoring(first.environment).reaches("Failed", "NothingToRestore")
    await restoring(first.environment, queue="mail").reaches("Succeeded")
    again = await restoring(first.environment, queue="mail").reaches("Failed", "NothingToRestore")

    assert 'recovery "stuck" took no message of queue "tts"' in never.message
    assert "all messages were put back, or deleted by hand" in again.message


async def test_a_quarantine_that_was_not_retained_cannot_be_put_back() -> None:
    status = await restoring(await after_another(retention_seconds=0)).reaches("Failed", "NothingToRestore")

    assert "its purge.retentionSeconds is 0" in status.message


async def test_a_quarantine_whose_retention_is_over_cannot_be_put_back() -> None:
    environment = await after_another()
    quarantine = environment.recoveries["stuck"].status.quarantine
    assert quarantine is not None
    assert quarantine.expiration_time is not None
    environment.time = moment(quarantine.expiration_time) + timedelta(seconds=1)

    await restoring(environment).reaches("Failed", "RetentionOver")


async def test_a_recovery_that_is_still_running_is_waited_for() -> None:
    environment = await after_another()
    ended = environment.recoveries["stuck"]
    running = ended.status.model_copy(update={"ending": None, "conditions": []})
    environment.recoveries["stuck"] = Earlier(uid=UID, spec=ended.spec, status=running)
    case = restoring(environment)
    working = case.start()
    await case.waits("RecoveryNotEnded")

    environment.recoveries["stuck"] = ended
    environment.report_change()
    await working

    assert case.broker.queued() == ["one", "two"]
