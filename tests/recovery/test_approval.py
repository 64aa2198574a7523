"""A target that requires an approval: a recovery stops after its plan, and does what was approved, or nothing."""

import asyncio
import math
from datetime import timedelta

import pytest

from queue_recovery.api.conditions import ConditionType, find, is_true
from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.environment import Earlier
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.turn import Turn
from sandbox.processes import until
from tests.recovery.approvals import assert_untouched, awaits, case, edit, with_message
from tests.recovery.fake_database import TASK
from tests.recovery.fakes import NOW, UID, Case


async def test_it_stops_after_the_plan_and_says_how_to_approve_it() -> None:
    made = case()

    asked = await awaits(made)

    assert "ledger_write" not in made.environment.fake_ledger.calls
    assert made.status.message == (
        "waiting for approval: would purge 1 message (1 ready, 0 unacked), enqueue 2 jobs. To approve it, run: "
        f"kubectl annotate qr/stuck -n media --overwrite queuerecovery.dev/approve={asked.digest}"
    )
    assert made.status.plan is not None
    assert made.status.plan.examples is not None
    assert asked.tasks == [TASK]
    approved = find(made.status.conditions, ConditionType.APPROVED)
    assert approved is not None
    assert (approved.status, approved.reason) == ("False", "AwaitingApproval")
    assert is_true(made.status.conditions, ConditionType.RECONCILING)
    assert_untouched(made)


async def test_once_it_is_approved_it_plans_again_and_runs() -> None:
    made = case()
    asked = await awaits(made)
    made.broker.add("meanwhile")

    made.resource.annotate(approve=asked.digest)
    status = await made.reaches("Succeeded")

    assert status.plan is not None
    assert status.plan.ready == 2
    assert is_true(status.conditions, ConditionType.APPROVED)
    assert made.jobs.statuses == {"a": "pending", "b": "pending"}


async def test_messages_that_are_gone_once_it_is_approved_are_not_looked_for_elsewhere() -> None:
    made = case()
    asked = await awaits(made)
    made.broker.queues.clear()

    made.resource.annotate(approve=asked.digest)
    status = await made.reaches("Succeeded")

    assert "The 1 message that was counted has been consumed, or taken by another recovery, since" in status.message
    assert "globalKeyPrefix" not in status.message


async def test_while_it_waits_it_holds_no_turn_and_keeps_only_what_wakes_it() -> None:
    made, admission = case(), Admission(1)

    waiting = await made.reconciled(Turn(admission, "media"))

    assert waiting == Requeue(generation=1, target="media", seconds=math.inf, for_turn=False)
    assert [Turn(admission, "media").may_prepare() for _ in range(2)] == [True, True]
    assert Case(environment=made.environment).recovery(Turn(admission, "media")).turn.awaits is None
    assert_untouched(made)


@pytest.mark.parametrize("quoted", ["0" * 32, "yes", "true"])
async def test_another_digest_approves_nothing(quoted: str) -> None:
    made = case()
    made.resource.annotate(approve=quoted)

    await awaits(made)

    assert "waiting for approval (the annotation queuerecovery.dev/approve quotes another digest): " in (
        made.status.message
    )
    assert_untouched(made)


async def test_a_copy_with_the_annotation_of_the_first_one_has_to_be_approved_again() -> None:
    asked = await awaits(case())
    copy = case(uid="00000000-0000-0000-0000-000000000002")
    copy.resource.annotate(approve=asked.digest)

    assert (await awaits(copy)).digest != asked.digest


async def test_a_restore_is_approved_with_what_it_would_put_back() -> None:
    first = Case()
    first.broker.add("one", "two")
    await first.reaches("Succeeded")
    environment = first.environment
    environment.recoveries["stuck"] = Earlier(uid=UID, spec=first.resource.desired.spec, status=first.status)
    made = Case(
        environment=environment, uid="00000000-0000-0000-0000-000000000002", name="undo", restoreFrom={"name": "stuck"}
    )
    edit(made)

    asked = await awaits(made)
    assert made.status.message.startswith("waiting for approval: would put back 2 of 2 messages, listed in status.plan")
    assert made.broker.queued() == []
    assert made.broker.locks == {}
    made.resource.annotate(approve=asked.digest)
    await made.reaches("Succeeded")

    assert made.broker.queued() == ["one", "two"]


async def test_one_that_ends_while_it_waits_asks_for_nothing_any_more() -> None:
    made = case()
    await awaits(made)
    made.resource.change(cancel=True)

    status = await made.reaches("Cancelled")

    approved = find(status.conditions, ConditionType.APPROVED)
    assert approved is not None
    assert (approved.status, approved.reason) == ("False", "CancelRequested")


async def test_waiting_for_an_approval_takes_nothing_from_the_deadlines() -> None:
    made = case(startingDeadlineSeconds=60)
    asked = await awaits(made)
    made.environment.time += timedelta(days=2)
    assert (await awaits(made)).digest == asked.digest

    made.workers.change("worker", paused=True)
    made.resource.annotate(approve=asked.digest)
    working = made.start()

    assert (await made.waits("WorkerPaused")).startswith("fails at 2030-01-03T00:01:00Z unless this is resolved: ")
    made.workers.change("worker", paused=False)
    made.environment.report_change()
    await working
    assert (made.status.phase, made.status.resume_time) == ("Succeeded", timestamp(NOW + timedelta(days=2)))


async def test_not_after_ends_it_while_it_waits() -> None:
    made = case(notAfter="2030-01-01T01:00:00Z")
    await awaits(made)
    assert made.status.message.endswith("; it fails at 2030-01-01T01:00:00Z")
    made.environment.time += timedelta(hours=2)

    await made.reaches("Failed", "NotAfterPassed")

    assert_untouched(made)


async def test_cancelling_and_deleting_it_end_it_while_it_waits() -> None:
    for change in ({"cancel": True}, {"deleting": True}):
        made = case()
        await awaits(made)
        made.resource.change(**change)

        await made.reaches("Cancelled")

        assert_untouched(made)


async def test_suspend_holds_it_first_and_an_approval_of_the_dry_run_counts() -> None:
    made = case(suspend=True)
    await made.reconciled()
    assert (made.status.phase, made.status.message.partition(":")[0]) == ("Planning", "suspended")
    assert made.status.approval is not None

    made.resource.annotate(approve=made.status.approval.digest)
    assert await made.reconciled() is not None
    assert_untouched(made)
    made.resource.change(suspend=False)
    await made.reaches("Succeeded")


async def test_one_that_is_suspended_while_it_waits_is_asked_for_once_it_is_resumed() -> None:
    made = case()
    asked = await awaits(made)
    made.resource.change(suspend=True)
    await made.reconciled()
    assert made.status.phase == "Planning"

    made.resource.change(suspend=False)

    assert (await awaits(made)).digest == asked.digest


async def test_an_approval_that_is_withdrawn_before_the_intent_is_none() -> None:
    made = case()
    asked = await awaits(made)
    made.resource.annotate(approve=asked.digest)
    made.workers.on_call["follow"] = lambda: made.resource.annotate(approve="")

    await made.reconciled()

    assert made.status.phase == "AwaitingApproval"
    assert_untouched(made)


async def test_an_approval_that_is_withdrawn_while_the_ledger_is_written_is_none() -> None:
    made = case()
    asked = await awaits(made)
    made.resource.annotate(approve=asked.digest)
    made.environment.fake_ledger.on_call["ledger_write"] = lambda: made.resource.annotate(approve="")

    await awaits(made)

    assert_untouched(made)


async def test_a_recovery_with_nothing_to_do_needs_no_approval() -> None:
    made = Case()
    edit(made)

    status = await made.reaches("Succeeded", "NothingToDo")

    assert status.approval is None


async def test_wherever_the_operator_dies_it_asks_once_and_does_only_what_was_approved() -> None:
    number, died = 0, True
    asked_again = started = 0
    while died:
        made = case()
        asked = await awaits(made)
        made.resource.annotate(approve=asked.digest)
        number += 1
        died = await made.dies_at(number)
        has_started = made.status.drain_start_time is not None
        edit(made, queues=with_message(args='["forged", "$(id)"]'))

        if not has_started:
            assert (await awaits(made)).digest != asked.digest
            assert_untouched(made)
            asked_again += 1
            continue
        started += 1
        working = made.start()

        async def is_held(held: Case = made, task: "asyncio.Task[object]" = working) -> bool:
            return task.done() or "ApprovalOutdated" in [one.reason for one in held.status.conditions]

        await until(is_held, "it to be held, or its end")
        edit(made, policy={})  # the approval was given, and binds without the requirement too
        await working
        assert made.status.phase == "Succeeded"
        assert not any("forged" in task.args for task in made.broker.records[UID].pushed.values())
        assert made.workers.replicas == {"worker": 2}
    assert asked_again > 5
    assert started > 20


async def test_jobs_of_too_many_tasks_are_refused_before_they_are_asked_for() -> None:
    made = Case(jobs=[{"task": f"tts.task-{n}"} for n in range(101)], environment=case().environment)
    tasks = [f"tts.task-{n}" for n in range(100)]
    edit(made, queues=[{**with_message()[0], "tasks": tasks, "message": {"task": "tts.task-100"}}])

    await made.reaches("Failed", "SpecTooLarge")


async def test_a_document_whose_task_has_no_name_that_can_be_shown_is_refused() -> None:
    made = case()
    made.jobs.add("a", task="x" * 301)

    await made.reaches("Failed", "TaskNotAllowed")
