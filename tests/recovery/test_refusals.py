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
