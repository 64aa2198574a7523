"""A recovery that restarts workers which run and consume nothing: once, wherever the operator dies."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import ScaleBackNote
from queue_recovery.recovery.ports.resource import Superseded
from queue_recovery.recovery.rollout_restart import rollout_restart
from tests.recovery.fakes import NOW, Case, target

RESTARTING: dict[str, object] = {"purge": {"mode": "None"}, "restart": {"annotate": True}}
START = timestamp(NOW)
OTHER = ScaleBackNote(uid="another", name="another", replicas=2)


def deaf(*jobs: str, **fields: object) -> Case:
    """Return a recovery that restarts a worker."""
    return Case({**RESTARTING, **fields}, jobs=jobs)


async def test_without_jobs_the_workers_are_restarted_and_nothing_else_is_done() -> None:
    case = deaf()
    case.broker.add("waiting")

    status = await case.reaches("Succeeded", "Completed")

    assert (case.workers.restarted, case.workers.replicas) == (["worker"], {"worker": 2})
    assert case.workers.deployments["worker"].restarted_at == START
    assert (case.broker.queued(), case.broker.locks) == (["waiting"], {})
    assert status.message == 'workers restarted; "tts": messages are consumed; no job is listed'


async def test_no_job_is_enqueued_before_the_rollout_is_complete() -> None:
    case = deaf("a")
    case.workers.on_call["restart"] = lambda: case.workers.on_call.update(
        follow=lambda: case.workers.change("worker", rollout="1 old replica pending termination")
    )
    working = case.start()

    await case.waits("AwaitingRollout")
    assert (case.status.phase, case.jobs.statuses) == ("Restarting", {"a": "failed"})

    case.workers.change("worker", rollout=None)
    await working
    assert (case.status.phase, case.jobs.statuses) == ("Succeeded", {"a": "pending"})


async def test_after_a_death_at_any_call_the_workers_are_restarted_once() -> None:
    number, died = 0, True
    while died:
        case = deaf("a")
        number += 1
        died = await case.dies_at(number)
        case.environment.time += timedelta(seconds=60)

        await case.reaches("Succeeded")

        assert case.workers.restarted == ["worker"], number
        assert case.broker.queued() == [case.task_id("a")], number
        assert case.broker.locks == {}, number
    assert number > 30


@pytest.mark.parametrize(
    ("annotation", "restarts"),
    [
        (None, True),
        ("", True),
        ("yesterday", True),
        ("9" * 300, True),
        ("2029-12-31T23:59:59Z", True),
        ("2030-01-01T00:00:30Z", False),
        ("2030-01-01T02:00:30+02:00", False),
        ("2030-01-01T00:00:30", True),
        ("2030-01-02T00:00:00Z", True),
    ],
    ids=["none", "empty", "no time", "long", "before", "since", "since, in another zone", "no zone", "in the future"],
)
async def test_workers_that_somebody_has_restarted_since_the_start_are_not_restarted_again(
    annotation: str | None, *, restarts: bool
) -> None:
    case = deaf()

    def meanwhile() -> None:
        case.environment.time = NOW + timedelta(seconds=60)
        case.workers.change("worker", restarted_at=annotation)

    case.broker.on_call["pass_boundary"] = meanwhile

    await case.reaches("Succeeded")

    assert bool(case.workers.restarted) is restarts


async def test_a_process_that_was_held_up_restarts_nothing_once_another_one_has_ended_the_recovery() -> None:
    case = deaf("a")

    def die() -> None:
        raise asyncio.CancelledError

    case.workers.on_call["restart"] = die
    with suppress(asyncio.CancelledError):
        await case.reconciled()
    case.workers.on_call.clear()
    late, (seen,) = case.recovery(), await case.workers.look([WorkerRef(name="worker")])
    case.resource.change(cancel=True)

    await case.reaches("Cancelled")

    with pytest.raises(Superseded):
        await rollout_restart(late)
    with pytest.raises(RecoveryError, match="WorkerChanged"):
        await case.workers.restart(seen, START)

    assert case.workers.restarted == []


async def test_a_worker_at_0_is_left_alone_and_nobody_is_said_to_be_restarted() -> None:
    case = deaf("a")
    case.workers.add("worker", replicas=0, pods=0, drained=True)

    status = await case.reaches("Succeeded")

    assert (case.workers.restarted, case.workers.replicas) == ([], {"worker": 0})
    assert "workers restarted" not in status.message
    assert [one.reason for one in status.conditions if one.type == "Restarted"] == ["WorkersAtZero"]
    assert "No worker consumes the queue" in status.message


async def test_a_deployment_that_was_created_since_the_start_has_new_pods_and_is_not_restarted() -> None:
    case = deaf("a")
    case.broker.on_call["pass_boundary"] = lambda: case.workers.add("worker", uid="another")

    await case.reaches("Succeeded")

    assert case.workers.restarted == []


@pytest.mark.parametrize("call", ["check", "pass_boundary", "restart"], ids=["before", "at the start", "meanwhile"])
async def test_a_paused_worker_is_waited_for(call: str) -> None:
    case = deaf("a")
    called = case.workers if call == "restart" else case.broker

    def pause() -> None:
        called.on_call.clear()
        if call == "restart":
            case.workers.on_call["follow"] = pause_now
        else:
            pause_now()

    def pause_now() -> None:
        case.workers.change("worker", paused=True)

    called.on_call[call] = pause
    working = case.start()

    message = await case.waits("WorkerPaused")
    assert message.endswith("kubectl rollout resume deployment/worker -n media")
    assert case.workers.restarted == (["worker"] if call == "restart" else [])

    case.workers.on_call.clear()
    case.workers.change("worker", paused=False)
    case.environment.report_change()
    await working
    assert (case.status.phase, case.workers.restarted) == ("Succeeded", ["worker"])


@pytest.mark.parametrize("call", ["check", "pass_boundary", "restart"], ids=["before", "at the start", "meanwhile"])
async def test_a_worker_of_which_pods_would_stay_is_not_called_restarted(call: str) -> None:
    case = deaf("a")
    called = case.workers if call == "restart" else case.broker
    kept = "updateStrategy.type is OnDelete"

    def keep_pods() -> None:
        called.on_call.clear()
        case.workers.change("worker", keeps_pods=kept)

    called.on_call[call] = keep_pods
    working = case.start()

    message = await case.waits("PodsWouldNotRestart")
    assert f'restart.annotate would not restart every pod of Deployment "worker": {kept}. Set its' in message
    assert (case.workers.restarted, case.jobs.statuses) == ([], {"a": "failed"})
    assert (case.status.drain_start_time is None) == (call == "check")

    case.workers.change("worker", keeps_pods=None)
    case.environment.report_change()
    await working
    assert (case.status.phase, case.workers.restarted) == ("Succeeded", ["worker"])


async def test_one_that_restarts_nothing_does_not_ask_which_pods_would_stay() -> None:
    case = Case(jobs=["a"])
    case.workers.change("worker", keeps_pods="updateStrategy.type is OnDelete")

    await case.reaches("Succeeded")


@pytest.mark.parametrize("call", ["pass_boundary", "restart"], ids=["before the restart", "during the rollout"])
async def test_a_worker_that_another_recovery_has_stopped_is_waited_for(call: str) -> None:
    case = deaf("a")
    case.environment.existing["media/another"] = True

    def stop() -> None:
        case.workers.change("worker", note=OTHER)
        case.workers.scale("worker", 0)

    if call == "restart":
        case.workers.on_call[call] = lambda: case.workers.on_call.update(follow=stop)
    else:
        case.broker.on_call[call] = stop
    working = case.start()

    message = await case.waits("Locked")
    assert 'Deployment "worker" is held by recovery "media/another"' in message
    assert case.jobs.statuses == {"a": "failed"}

    case.workers.on_call.clear()
    case.workers.change("worker", note=None)
    case.workers.scale("worker", 2)
    case.environment.report_change()
    await working
    assert (case.status.phase, case.workers.restarted) == ("Succeeded", ["worker"])


async def test_a_restart_that_a_policy_denies_delays_no_other_worker_and_ends_at_the_deadline() -> None:
    case = deaf("a", activeDeadlineSeconds=60)
    case.environment.targets["media"] = target({"tts": ["denied", "worker"]})
    case.workers.add("denied")
    denied = RecoveryError(Reason.WORKER_WRITE_REFUSED, "a policy denies it")

    def deny() -> None:
        if len(case.workers.restarted) == case.workers.calls.count("restart") - 1:
            raise denied

    case.workers.on_call["restart"] = deny
    case.workers.fail_always("scale_back", denied)
    working = case.start()
    await case.waits("WorkerWriteRefused")
    assert case.workers.restarted == ["worker"]

    case.environment.time = NOW + timedelta(seconds=60)
    case.resource.change()
    await working

    assert case.status.phase == "Failed"
    assert case.jobs.statuses == {"a": "failed"}


async def test_a_rollout_that_never_completes_ends_at_the_deadline_and_is_left_as_it_is() -> None:
    case = deaf("a", activeDeadlineSeconds=60)
    case.workers.change("worker", rollout='"worker-2" cannot pull its image')
    working = case.start()
    await case.waits("AwaitingRollout")

    case.environment.time = NOW + timedelta(seconds=60)
    case.resource.change()
    await working

    assert (case.status.phase, case.workers.restarted, case.workers.replicas) == ("Failed", ["worker"], {"worker": 2})
    assert case.status.message.endswith(
        "A restart of workers that has begun is left as it is; see it with kubectl get deployment/worker -n media"
    )
    assert "cannot pull its image" in case.status.message


async def test_a_job_whose_message_a_restarted_worker_takes_is_not_enqueued_beside_it() -> None:
    case = deaf("queued", "lost")
    case.broker.add("old-queued")
    case.workers.on_call["restart"] = case.broker.queues.clear

    status = await case.reaches("Succeeded")

    assert [(row.id, row.reason) for row in status.skipped] == [("queued", "StillQueued")]
    assert case.broker.queued() == [case.task_id("lost")]


@pytest.mark.parametrize("call", ["pass_boundary", "restart"], ids=["before the restart", "after it"])
async def test_a_copy_restarts_nothing_unless_the_first_one_ended_before_it_did(call: str) -> None:
    case = deaf("a")
    called = case.workers if call == "restart" else case.broker
    called.on_call[call] = lambda: case.resource.change(cancel=True)
    await case.reaches("Cancelled")
    called.on_call.clear()
    before = len(case.workers.restarted)
    copy = Case(RESTARTING, jobs=["a"], environment=case.environment, uid=str(UUID(int=2)))
    copy.environment.time += timedelta(seconds=60)

    await copy.reconciled()

    assert copy.status.ending is not None
    assert copy.status.ending.reason == ("AlreadyExecuted" if before else "Completed")
    assert len(case.workers.restarted) == 1


async def test_a_dry_run_says_that_the_workers_would_be_restarted() -> None:
    case = deaf("a", suspend=True)

    await case.reconciled()

    assert (
        'would restart Deployment "worker" (tasks that run have the grace period of their pods to end), enqueue 1 job; '
        "no message is removed"
    ) in case.status.message
    assert case.workers.restarted == []


async def test_a_dry_run_whose_target_is_away_or_with_many_workers_names_what_it_can() -> None:
    case = deaf("a", suspend=True)
    case.environment.targets["media"] = target({"tts": [f"w{number:02}" for number in range(12)]})
    for number in range(12):
        case.workers.add(f"w{number:02}")
    await case.reconciled()
    assert 'Deployment "w00", Deployment "w01"' in case.status.message
    assert 'Deployment "w09" and 2 more (tasks' in case.status.message

    del case.environment.targets["media"]
    case.environment.time += timedelta(seconds=60)
    await case.reconciled()
    assert "would restart the workers (tasks" in case.status.message
