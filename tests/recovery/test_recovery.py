"""The queues that a recovery covers, and its identities in the broker."""

import pytest

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import MOST_WORKERS, Plan, QueueRecoveryStatus
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.jobs import by_queue, listed
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.recovery import Recovery
from tests.recovery.fakes import NOW, Case, target
from tests.sample_worker import ref

UID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def spec(queue: str, *jobs: dict[str, object]) -> QueueRecoverySpec:
    return QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": queue, "jobs": list(jobs)})


def recovery(queue: str, *listed_queues: str, planned: list[str] | None = None) -> Recovery:
    """Return a recovery of a target that lists these queues, with the plan to cover those."""
    plan = None
    if planned is not None:
        plan = Plan(time=timestamp(NOW), queues=planned, ready=0, unacked=0, enqueue=0, skip=0)
    case = Case(queue=queue, status=QueueRecoveryStatus(plan=plan), uid=UID)
    case.environment.targets["media"] = target({name: [f"{name}-worker"] for name in listed_queues})
    return case.recovery()


async def test_a_recovery_of_one_queue_has_one_identity_with_its_uid() -> None:
    one = recovery("tts", "tts", "mail")

    assert [(run.uid, run.queue) for run in one.identities] == [(UID, "tts")]
    assert list(await one.queues()) == ["tts"]


async def test_a_recovery_of_every_queue_has_an_identity_for_each_in_their_order() -> None:
    every = recovery("*", "tts", "mail", planned=["tts", "mail"])

    assert [(run.uid, run.queue) for run in every.identities] == [(f"{UID}/mail", "mail"), (f"{UID}/tts", "tts")]


async def test_every_queue_of_the_target_is_covered_until_there_is_a_plan_and_then_those_of_the_plan() -> None:
    assert list(await recovery("*", "tts", "mail", "new").queues()) == ["mail", "new", "tts"]
    planned = recovery("*", "tts", "mail", "new", planned=["mail", "tts"])

    assert list(await planned.queues()) == list(planned.covered) == ["mail", "tts"]


async def test_a_queue_that_was_planned_and_is_gone_from_the_target_is_refused_and_can_still_be_closed() -> None:
    planned = recovery("*", "tts", planned=["mail", "tts"])

    with pytest.raises(RecoveryError, match=r'QueueNotInTarget.*no queue "mail". It has "tts"'):
        await planned.queues()
    assert list(planned.covered) == ["mail", "tts"]


async def test_a_jobs_queue_has_to_be_one_of_the_target() -> None:
    case = Case(queue="*", jobs=[{"id": "a", "queue": "mial"}])
    case.environment.targets["media"] = target({"tts": ["worker"], "mail": ["worker"]})

    with pytest.raises(RecoveryError, match=r'QueueNotInTarget.*no queue "mial". It has "mail", "tts"'):
        await case.recovery().queues()


def test_jobs_go_to_their_own_queue_or_else_to_the_recoverys() -> None:
    assert [job.queue for job in listed(spec("tts", {"id": "a"}, {"task": "t"}))] == ["tts", "tts"]
    jobs = listed(spec("*", {"id": "a", "queue": "tts"}, {"task": "t", "queue": "mail"}, {"id": "b", "queue": "tts"}))

    assert {queue: [job.label for job in own] for queue, own in by_queue(jobs).items()} == {
        "tts": ["a", "b"],
        "mail": ["t (jobs[1])"],
    }


def test_an_id_that_is_listed_for_two_queues_is_listed_twice() -> None:
    with pytest.raises(RecoveryError, match="DuplicateJob"):
        listed(spec("*", {"id": "a", "queue": "tts"}, {"id": "a", "queue": "mail"}))


def test_deployments_of_several_queues_are_stopped_once_and_no_more_than_a_status_can_hold() -> None:
    def consumed_by(*workers: str) -> QueueSpec:
        return QueueSpec.model_validate({"name": "a", "workers": [{"name": name} for name in workers]})

    assert workers_of([consumed_by("one", "both"), consumed_by("both")]) == [ref("both"), ref("one")]
    queues = [consumed_by(f"w{n:03}") for n in range(MOST_WORKERS + 1)]
    assert len(workers_of(queues[1:])) == MOST_WORKERS
    with pytest.raises(RecoveryError, match=r"TooManyWorkers.*201 workers"):
        workers_of(queues)
