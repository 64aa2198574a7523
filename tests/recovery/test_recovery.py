"""Which queues a recovery covers, and under which names it stands in the broker."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import MOST_WORKERS, Plan, QueueRecoveryStatus
from queue_recovery.api.target import QueueSpec, QueueTargetSpec
from queue_recovery.recovery.checks import worker_names
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.jobs import by_queue, listed
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import Resource
from queue_recovery.recovery.recovery import Recovery
from tests.turns import alone

UID = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def spec(queue: str, *jobs: dict[str, object]) -> QueueRecoverySpec:
    return QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": queue, "jobs": list(jobs)})


def recovery(wanted: QueueRecoverySpec, *queues: str, planned: list[str] | None = None) -> Recovery:
    """Return a recovery of a target that lists these queues, with the plan to cover those."""
    target = QueueTargetSpec.model_validate(
        {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
            "queues": [{"name": name, "workers": [{"name": f"{name}-worker"}]} for name in queues],
        }
    )

    async def read(_name: str) -> QueueTargetSpec:
        return target

    now = timestamp(datetime(2026, 1, 1, tzinfo=UTC))
    plan = None if planned is None else Plan(time=now, queues=planned, ready=0, unacked=0, enqueue=0, skip=0)
    resource = SimpleNamespace(uid=UID, namespace="media", name="stuck", desired=SimpleNamespace(spec=wanted))
    return Recovery(
        resource=cast("Resource", resource),
        environment=cast("Environment", SimpleNamespace(cluster="here", target=read)),
        status=QueueRecoveryStatus(plan=plan),
        turn=alone(),
    )


async def test_a_recovery_of_one_queue_has_one_run_that_bears_its_uid() -> None:
    one = recovery(spec("tts"), "tts", "mail")

    assert [(run.uid, run.queue) for run in one.identities] == [(UID, "tts")]
    assert list(await one.queues()) == ["tts"]


async def test_a_recovery_of_every_queue_has_a_run_for_each_in_their_order() -> None:
    every = recovery(spec("*"), "tts", "mail", planned=["tts", "mail"])

    assert [(run.uid, run.queue) for run in every.identities] == [(f"{UID}/mail", "mail"), (f"{UID}/tts", "tts")]


async def test_every_queue_of_the_target_is_covered_until_there_is_a_plan_and_then_those_of_the_plan() -> None:
    assert list(await recovery(spec("*"), "tts", "mail", "new").queues()) == ["mail", "new", "tts"]
    planned = recovery(spec("*"), "tts", "mail", "new", planned=["mail", "tts"])

    assert list(await planned.queues()) == list(planned.covered) == ["mail", "tts"]


async def test_a_queue_that_was_planned_and_is_gone_from_the_target_is_refused_and_can_still_be_closed() -> None:
    planned = recovery(spec("*"), "tts", planned=["mail", "tts"])

    with pytest.raises(RecoveryError, match=r'QueueNotInTarget.*no queue "mail"; it has tts'):
        await planned.queues()
    assert list(planned.covered) == ["mail", "tts"]


async def test_a_jobs_queue_has_to_be_one_of_the_target() -> None:
    with pytest.raises(RecoveryError, match=r'QueueNotInTarget.*no queue "mial"; it has mail, tts'):
        await recovery(spec("*", {"id": "a", "queue": "mial"}), "tts", "mail").queues()


def test_jobs_go_to_the_queue_that_they_say_or_else_to_the_recoverys() -> None:
    assert [job.queue for job in listed(spec("tts", {"id": "a"}, {"task": "t"}))] == ["tts", "tts"]
    jobs = listed(spec("*", {"id": "a", "queue": "tts"}, {"task": "t", "queue": "mail"}, {"id": "b", "queue": "tts"}))

    assert {queue: [job.label for job in own] for queue, own in by_queue(jobs).items()} == {
        "tts": ["a", "b"],
        "mail": ["t (jobs[1])"],
    }


def test_an_id_that_stands_there_for_two_queues_is_listed_twice() -> None:
    with pytest.raises(RecoveryError, match="DuplicateJob"):
        listed(spec("*", {"id": "a", "queue": "tts"}, {"id": "a", "queue": "mail"}))


def test_deployments_of_several_queues_are_stopped_once_and_no_more_than_a_status_can_hold() -> None:
    def consumed_by(*workers: str) -> QueueSpec:
        return QueueSpec.model_validate({"name": "a", "workers": [{"name": name} for name in workers]})

    assert worker_names([consumed_by("one", "both"), consumed_by("both")]) == ["both", "one"]
    queues = [consumed_by(f"w{n:03}") for n in range(MOST_WORKERS + 1)]
    assert len(worker_names(queues[1:])) == MOST_WORKERS
    with pytest.raises(RecoveryError, match=r"TooManyWorkers.*201 worker Deployments"):
        worker_names(queues)
