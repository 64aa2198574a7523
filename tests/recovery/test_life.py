"""The life of a recovery, from its plan to its end, through the ports."""

import pytest

from queue_recovery.api.conditions import ConditionType, is_true
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Task
from tests.recovery.fakes import Case, target


async def test_messages_are_quarantined_and_every_job_is_enqueued_once() -> None:
    case = Case(jobs=["a", "b"])
    case.broker.add("old-a", "old-b", "of no job")
    case.broker.add("held by a worker", held=True)

    status = await case.reaches("Succeeded", "Completed")

    assert case.broker.queued() == [case.task_id("a"), case.task_id("b")]
    assert case.jobs.statuses == {"a": "pending", "b": "pending"}
    assert case.workers.replicas == {"worker": 2}
    assert case.broker.locks == {}
    assert (
        status.message
        == "4 messages quarantined; 2 of 2 jobs enqueued; 2 quarantined messages not replaced by an enqueued job"
    )


async def test_jobs_that_are_written_out_are_enqueued_with_their_arguments() -> None:
    job = {"task": "tts.render", "args": "[1.0, 12345678901234567890, null]", "kwargs": '{"shape": "x"}'}
    case = Case(jobs=[job])

    await case.reaches("Succeeded")

    ((task,),) = [list(record.pushed.values()) for record in case.broker.records.values()]
    assert (task.task, task.args, task.kwargs) == (job["task"], job["args"], job["kwargs"])


async def test_a_selection_leaves_the_other_messages_in_the_queue_and_skips_their_jobs() -> None:
    case = Case(jobs=["a", "b"], purge={"select": {"tasks": ["tts.render"]}})
    case.broker.add("old-a")
    case.broker.add("old-b", task="tts.index")

    status = await case.reaches("Succeeded")

    assert case.broker.queued() == ["old-b", case.task_id("a")]
    assert [(row.id, row.reason) for row in status.skipped] == [("b", "StillQueued")]
    assert status.messages is not None
    assert (status.messages.quarantined, status.messages.left) == (1, 1)


async def test_the_message_of_a_job_that_is_not_recoverable_stays_in_the_queue() -> None:
    case = Case(jobs=["a", "b"])
    case.jobs.change("b", "processing")
    case.broker.add("old-a", "old-b")

    status = await case.reaches("Succeeded")

    assert case.broker.queued() == ["old-b", case.task_id("a")]
    assert [(row.id, row.reason) for row in status.skipped] == [("b", "NotRecoverable")]
    assert case.jobs.statuses == {"a": "pending", "b": "processing"}


async def test_without_a_purge_no_worker_is_stopped_and_a_job_that_is_still_queued_is_skipped() -> None:
    case = Case(jobs=["queued", "lost"], purge={"mode": "None"})
    case.broker.add("old-queued")

    status = await case.reaches("Succeeded")

    assert case.broker.queued() == ["old-queued", case.task_id("lost")]
    assert [(row.id, row.reason) for row in status.skipped] == [("queued", "StillQueued")]
    assert "scale_to_zero" not in case.workers.calls


async def test_every_queue_of_the_target_is_recovered() -> None:
    case = Case(queue="*", jobs=[{"task": "tts.render", "queue": "mail"}])
    case.environment.targets["media"] = target({"mail": ["mailer"], "tts": ["worker"]})
    case.workers.add("mailer")
    case.broker.add("one", queue="mail")
    case.broker.add("two", "three")

    status = await case.reaches("Succeeded")

    assert status.messages is not None
    assert status.messages.quarantined == 3
    assert (case.broker.queued(), len(case.broker.queued("mail"))) == ([], 1)
    assert case.workers.replicas == {"worker": 2, "mailer": 2}


async def test_workers_that_were_at_zero_stay_there_and_the_status_warns() -> None:
    case = Case()
    case.workers.add("worker", replicas=0, pods=0, drained=True)
    case.broker.add("old")

    status = await case.reaches("Succeeded")

    assert case.workers.replicas == {"worker": 0}
    assert "No worker consumes the queue, because its Deployments have 0 replicas" in status.message


async def test_an_empty_queue_is_no_error_but_the_status_has_a_hint() -> None:
    status = await Case(jobs=["a"]).reaches("Succeeded", "Completed")

    assert "compare globalKeyPrefix, sep and the database" in status.message
    assert "The new tasks are in that database. If no worker consumes them there, correct the target" in status.message
    assert status.jobs.progress == "1/1"


GONE = "The 1 message that was counted has been consumed, or taken by another recovery, since the plan"


async def test_a_queue_that_is_empty_only_since_the_plan_is_not_looked_for_elsewhere() -> None:
    case = Case(jobs=["a"])
    case.broker.add("consumed before its worker stops")
    case.workers.on_call["scale_to_zero"] = case.broker.queues.clear

    status = await case.reaches("Succeeded", "Completed")

    assert status.message == f"0 messages quarantined; 1 of 1 job enqueued. {GONE}"


@pytest.mark.parametrize("jobs", [["a"], []])
async def test_a_queue_that_is_empty_once_the_recovery_is_resumed_is_not_looked_for_elsewhere(jobs: list[str]) -> None:
    case = Case({"suspend": True}, jobs=jobs)
    case.broker.add("taken by another recovery meanwhile")
    await case.reconciled()
    assert "would purge 1 message" in case.status.message

    case.broker.queues.clear()
    case.resource.change(suspend=False)
    status = await case.reaches("Succeeded")

    assert GONE in status.message
    assert "globalKeyPrefix" not in status.message


async def test_where_nothing_was_enqueued_no_new_task_is_looked_for() -> None:
    case = Case(jobs=["a"])
    case.workers.on_call["scale_to_zero"] = lambda: case.jobs.change("a", "done")

    status = await case.reaches("Succeeded", "Completed")

    assert "compare globalKeyPrefix" in status.message
    assert "new tasks" not in status.message


async def test_a_recovery_with_nothing_to_do_succeeds_and_stops_no_worker() -> None:
    case = Case(jobs=["a"])
    case.jobs.change("a", "done")

    status = await case.reaches("Succeeded", "NothingToDo")

    assert [(row.id, row.reason) for row in status.skipped] == [("a", "NotRecoverable")]
    assert "scale_to_zero" not in case.workers.calls
    assert case.broker.records == {}


@pytest.mark.parametrize("seconds", [0, 60])
async def test_the_quarantine_is_retained_for_as_long_as_the_spec_says(seconds: int) -> None:
    case = Case(purge={"retentionSeconds": seconds})
    case.broker.add("old")

    status = await case.reaches("Succeeded")

    (record,) = case.broker.records.values()
    assert (record.retain, len(record.quarantine)) == (seconds > 0, int(seconds > 0))
    assert (status.quarantine is None) == (seconds == 0)
    assert status.messages is not None
    assert status.messages.quarantined == 1


async def test_a_recovery_that_took_no_message_names_no_quarantine() -> None:
    status = await Case(jobs=["a"]).reaches("Succeeded")

    assert status.messages is not None
    assert (status.messages.quarantined, status.quarantine) == (0, None)


async def test_what_was_purged_is_said_in_one_number() -> None:
    case = Case()
    case.broker.add("waits")
    case.broker.add("held", held=True)

    await case.reaches("Succeeded")

    assert "2 messages quarantined; scaling the workers back" in [status.message for status in case.resource.written]


async def test_a_finished_recovery_that_is_changed_does_nothing_but_acknowledge_it() -> None:
    case = Case(jobs=["a"])
    before = await case.reaches("Succeeded")
    queued = case.broker.queued()

    case.resource.change(suspend=True)
    after = await case.reaches("Succeeded")

    assert (after.observed_generation, after.completion_time) == (2, before.completion_time)
    assert is_true(after.conditions, ConditionType.READY)
    assert case.broker.queued() == queued


async def test_a_suspended_recovery_shows_its_plan_and_counts_again_when_it_is_resumed() -> None:
    case = Case(jobs=["a", "done"], suspend=True)
    case.jobs.change("done", "done")
    case.broker.add("old-a")
    await case.reconciled()
    plan = case.status.plan
    assert plan is not None
    assert (plan.ready, plan.unacked, plan.enqueue, plan.skip, case.status.phase) == (1, 0, 1, 1, "Planning")
    assert case.broker.queued() == ["old-a"]
    assert case.workers.replicas == {"worker": 2}

    case.broker.add("came while it was suspended")
    case.resource.change(suspend=False)
    status = await case.reaches("Succeeded")

    assert status.plan is not None
    assert status.messages is not None
    assert (status.plan.ready, status.messages.quarantined) == (2, 2)


async def test_a_recovery_that_is_suspended_between_jobs_reports_where_it_resumes() -> None:
    case = Case(jobs=["a", "b", "c"], reenqueue={"ratePerSecond": 1})

    def suspend() -> None:
        if case.broker.queued():
            case.resource.change(suspend=True)

    case.environment.on_pause = suspend
    working = case.start()
    message = await case.waits("Suspended")
    enqueued = len(case.broker.queued())
    assert message.startswith(f"suspended: {enqueued} of 3 jobs enqueued, {3 - enqueued} to go")

    case.environment.on_pause = lambda: None
    case.resource.change(suspend=False)
    await working

    assert case.broker.queued() == [case.task_id(job) for job in "abc"]
    assert f"resumed: {enqueued} of 3 jobs enqueued" in [status.message for status in case.resource.written]


async def test_with_manual_restart_the_user_scales_and_the_operator_never_does() -> None:
    case = Case(restart={"strategy": "Manual"})
    case.broker.add("old")
    working = case.start()
    message = await case.waits("AwaitingManualScaleDown")
    assert "kubectl scale deployment/worker --replicas=0 -n media" in message
    assert case.broker.queued() == ["old"]

    case.workers.scale("worker", 0)
    await case.waits("AwaitingManualScaleUp")
    assert case.broker.queued() == []
    case.workers.scale("worker", 1)
    await working

    assert case.status.phase == "Succeeded"
    assert {"scale_to_zero", "scale_back"}.isdisjoint(case.workers.calls)


@pytest.mark.parametrize("change", ["status", "gone"])
async def test_a_job_that_the_application_changes_after_the_drain_is_skipped(change: str) -> None:
    case = Case(jobs=["a", "b"])
    case.broker.add("old-a", "old-b")

    def act() -> None:
        if change == "gone":
            case.jobs.jobs.pop("a", None)
        else:
            case.jobs.change("a", "failed again")

    case.workers.on_call["scale_back"] = act
    status = await case.reaches("Succeeded")

    assert case.broker.queued() == [case.task_id("b")]
    assert [(row.id, row.reason) for row in status.skipped] == [("a", "ChangedMeanwhile")]


async def test_a_marker_that_another_client_has_written_leaves_no_job_out() -> None:
    case = Case(jobs=["a", "b", "c"], reenqueue={"ratePerSecond": 1})

    def forge() -> None:
        case.broker.records[case.resource.uid].pushed["9:str:z"] = Task(
            key="9:str:z", task_id="z", task="z", args="[]", kwargs="{}"
        )

    case.broker.on_call["pushed"] = forge
    status = await case.reaches("Succeeded")

    assert case.broker.queued() == [case.task_id(job) for job in "abc"]
    assert status.jobs.progress == "3/3"


async def test_a_job_that_was_claimed_and_not_enqueued_gets_its_former_status_back() -> None:
    case = Case(jobs=["a", "b"], reenqueue={"ratePerSecond": 1})

    def cancel() -> None:
        if case.broker.queued():
            assert case.jobs.statuses == {"a": "pending", "b": "pending"}
            case.resource.change(cancel=True)
            raise RecoveryError(Reason.BROKER_UNAVAILABLE, "does not answer")

    case.broker.on_call["push"] = cancel
    status = await case.reaches("Cancelled")

    assert case.jobs.statuses == {"a": "pending", "b": "failed"}
    assert [(row.id, row.reason) for row in status.skipped] == [("b", "NotAttempted")]
    assert case.jobs.stamps[case.resource.uid, "b"].released
