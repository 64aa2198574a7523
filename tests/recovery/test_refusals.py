"""A recovery that cannot begin: it fails with a reason or waits, and touches nothing."""

import asyncio
from datetime import timedelta

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from tests.recovery.fakes import NOW, Case, target

Job = dict[str, object]

OF_JOBS = target()
WITHOUT_TASK = target(queues=[{"name": "tts", "workers": [{"name": "worker"}]}])
WITHOUT_STORE = target(jobStore=None)


@pytest.mark.parametrize(
    ("reason", "jobs", "of_target", "says"),
    [
        ("QueueNotInTarget", [{"task": "tts.render", "queue": "wrong"}], OF_JOBS, 'no queue "wrong"'),
        ("InvalidJobId", [{"id": 7}], OF_JOBS, "7"),
        ("JobNotFound", [{"id": "unknown"}], OF_JOBS, "unknown"),
        ("DuplicateJob", [{"id": "a"}, {"id": "a"}], OF_JOBS, "jobs[0] and jobs[1]"),
        ("NoTaskName", [{"id": "a"}], WITHOUT_TASK, "message"),
        ("TaskNotAllowed", [{"task": "os.system"}], OF_JOBS, "os.system"),
        ("InvalidArguments", [{"task": "tts.render", "args": '{"a": 1}'}], OF_JOBS, "JSON array"),
        ("JobStoreNotConfigured", [{"id": "a"}], WITHOUT_STORE, "jobStore"),
    ],
)
async def test_a_mistake_in_the_jobs_fails_the_recovery_before_anything_is_touched(
    reason: str, jobs: list[Job], of_target: QueueTargetSpec, says: str
) -> None:
    case = Case(jobs=jobs)
    case.jobs.add("a")
    case.environment.targets["media"] = of_target
    case.broker.add("old")

    status = await case.reaches("Failed", reason)

    assert says in status.message
    assert case.broker.queued() == ["old"]
    assert case.broker.records == {}
    assert "scale_to_zero" not in case.workers.calls


@pytest.mark.parametrize("mode", ["Quarantine", "None"])
async def test_task_ids_that_are_not_text_fail_the_recovery_before_anything_is_touched(mode: str) -> None:
    case = Case(jobs=["a", "b", "c"], purge={"mode": mode})
    case.jobs.store_task_id_as("Binary", "a")
    case.jobs.store_task_id_as("int", "c")
    case.broker.add("the UUID of a")

    status = await case.reaches("Failed", "TaskIdNotText")

    assert '"a" (Binary), "c" (int). Store task ids as text' in status.message
    assert case.broker.queued() == ["the UUID of a"]
    assert case.broker.records == {}
    assert case.jobs.stamps == {}
    assert "scale_to_zero" not in case.workers.calls


async def test_a_task_id_that_ceases_to_be_text_during_the_drain_fails_the_recovery_before_a_message_is_taken() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    case.workers.on_call["scale_to_zero"] = lambda: case.jobs.store_task_id_as("UUID", "a")

    await case.reaches("Failed", "TaskIdNotText")

    assert case.broker.queued() == ["old-a"]
    assert case.workers.replicas == {"worker": 2}
    assert case.jobs.stamps == {}


async def test_a_task_id_that_ceases_to_be_text_after_the_purge_skips_its_job_only() -> None:
    case = Case(jobs=["a", "b"])
    case.broker.add("old-a", "old-b")
    case.workers.on_call["scale_back"] = lambda: case.jobs.store_task_id_as("UUID", "a")

    status = await case.reaches("Succeeded")

    assert [(row.id, row.reason) for row in status.skipped] == [("a", "ChangedMeanwhile")]
    assert case.broker.queued() == [case.task_id("b")]


async def test_a_status_that_is_not_text_is_not_recoverable_so_its_message_stays() -> None:
    case = Case(jobs=["a", "b"])
    case.jobs.add("a", "<int>")
    case.broker.add("old-a", "old-b")

    status = await case.reaches("Succeeded")

    assert [(row.id, row.reason) for row in status.skipped] == [("a", "NotRecoverable")]
    assert 'status "<int>"' in status.skipped[0].message
    assert case.broker.queued() == ["old-a", case.task_id("b")]


async def test_a_queue_that_the_target_does_not_list_fails_the_recovery() -> None:
    status = await Case(queue="wrong").reaches("Failed", "QueueNotInTarget")

    assert 'no queue "wrong". It has "tts"' in status.message


@pytest.mark.parametrize("suspend", [False, True], ids=["at the plan", "after the plan"])
async def test_a_queue_that_is_not_celerys_fails_the_recovery_before_a_worker_is_stopped(*, suspend: bool) -> None:
    case = Case(suspend=suspend)
    case.broker.add("old")
    if suspend:
        await case.reconciled()
    case.broker.fail_always("check_queue", RecoveryError(Reason.FOREIGN_QUEUE, "not Celery's"))
    case.resource.change(suspend=False)

    await case.reaches("Failed", "ForeignQueue")

    assert case.broker.queued() == ["old"]
    assert "scale_to_zero" not in case.workers.calls


async def test_a_target_that_does_not_exist_is_waited_for() -> None:
    case = Case()
    case.broker.add("old")
    planned = case.environment.targets.pop("media")
    working = case.start()
    await case.waits("TargetNotFound")

    case.environment.targets["media"] = planned
    case.environment.report_change()
    await working

    assert case.status.phase == "Succeeded"


@pytest.mark.parametrize(
    ("method", "error"),
    [
        pytest.param("broker", AwaitingChange(Reason.SECRET_NOT_FOUND, "no Secret"), id="no Secret"),
        pytest.param("broker", RecoveryError(Reason.INVALID_BROKER_URL, "not a URL"), id="invalid URL"),
        pytest.param("job_store", RecoveryError(Reason.INVALID_JOB_STORE_URL, "not a URL"), id="invalid job store URL"),
        pytest.param("job_store", RecoveryError(Reason.JOB_STORE_UNAVAILABLE, "down"), id="job store down"),
        pytest.param("check_permissions", RecoveryError(Reason.FORBIDDEN, "no RoleBinding"), id="no RoleBinding"),
    ],
)
async def test_what_the_plan_lacks_is_waited_for_without_stopping_a_worker(method: str, error: RecoveryError) -> None:
    case = Case(jobs=["a"])
    case.environment.fail_always(method, error)
    working = case.start()
    assert "scale_to_zero" not in case.workers.calls
    await case.waits(error.reason)

    case.environment.heal()
    case.environment.report_change()
    await working

    assert case.status.phase == "Succeeded"


async def test_a_deployment_that_does_not_exist_or_is_paused_is_waited_for() -> None:
    case = Case()
    case.broker.add("old")
    case.workers.remove("worker")
    working = case.start()
    await case.waits("WorkerNotFound")
    case.workers.add("worker", paused=True)
    case.environment.report_change()
    await case.waits("WorkerPaused")

    case.workers.change("worker", paused=False)
    case.environment.report_change()
    await working

    assert case.status.phase == "Succeeded"


async def test_a_recovery_that_cannot_start_in_time_fails_and_names_what_it_waited_for() -> None:
    case = Case(startingDeadlineSeconds=60)
    del case.environment.targets["media"]
    working = case.start()
    await case.waits("TargetNotFound")

    case.environment.time = NOW + timedelta(seconds=61)
    case.environment.report_change()
    async with asyncio.timeout(10):
        await working

    assert case.status.ending is not None
    assert (case.status.phase, case.status.ending.reason) == ("Failed", "StartingDeadlineExceeded")
    assert "no QueueTarget" in case.status.message
