"""Argo Rollouts' real controller: what it does at 0 replicas, and a recovery with a canary in the middle."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import time

import pytest

from sandbox.api import Json
from sandbox.processes import until
from tests.e2e.team import CELERY, IMAGE, Team, condition, envelope, worker_deployment
from tests.gitops.rollouts import PATH
from tests.rollouts import rollout

pytestmark = [pytest.mark.timeout(600), pytest.mark.usefixtures("rollouts")]

WEIGHT: Json = {"setWeight": 50}
WAITS: Json = {"pause": {}}
WAITS_SHORTLY: Json = {"pause": {"duration": "5s"}}
STATE = ("currentStepIndex", "pauseConditions", "stableRS", "currentPodHash", "replicas", "updatedReplicas")
"""What an update has come to, in the status of a Rollout."""
WORKER: Json = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "worker"}


class Worker:
    """A Rollout of Celery workers."""

    def __init__(self, team: Team, *steps: Json, **spec: object) -> None:
        """Give its canary these steps; `spec` is added to its spec."""
        self.team = team
        self._steps = steps
        self._spec = spec
        self._path = f"{PATH.format(team.namespace)}/worker"

    async def roll_out(self, version: int) -> None:
        """Apply a version; it is complete at once if it is the first one."""
        deployment = worker_deployment(replicas=2, command=CELERY, image=IMAGE)
        deployment["spec"]["template"]["metadata"]["annotations"] = {"version": f"{version}"}
        body = rollout(deployment, *self._steps)
        await self.team.apply({**body, "spec": {**body["spec"], **self._spec}})

    async def get(self) -> Json:
        return await self.team.api.get(self._path)

    async def is_(self, condition: Callable[[Json], bool], what: str) -> Json:
        """Wait until its observed status fulfils a condition; return the status."""

        async def there() -> Json | None:
            found = await self.get()
            status = found.get("status", {})
            is_observed = status.get("observedGeneration") == str(found["metadata"]["generation"])
            return status if is_observed and condition(status) else None

        return await until(there, f"the Rollout to be {what}")

    async def healthy(self, replicas: int = 2) -> Json:
        return await self.is_(
            lambda one: one.get("phase") == "Healthy" and one.get("availableReplicas", 0) == replicas, "healthy"
        )

    async def paused(self, step: int = 1) -> Json:
        """Wait until its update waits for a person at a step, with all pods; return its status."""

        def is_paused(status: Json) -> bool:
            waits = bool(status.get("pauseConditions")) and status["currentStepIndex"] == step
            return waits and status.get("availableReplicas") == 2 == status["replicas"]

        return await self.is_(is_paused, "paused")

    async def promote(self) -> None:
        """Go on with the update to its end, as `kubectl argo rollouts promote --full` does."""
        await self.team.api.patch(f"{self._path}/status", {"status": {"promoteFull": True}})

    async def abort(self) -> None:
        """Abort the update, as `kubectl argo rollouts abort` does."""
        await self.team.api.patch(f"{self._path}/status", {"status": {"abort": True}})

    async def scale(self, replicas: int) -> None:
        await self.team.api.patch(self._path, {"spec": {"replicas": replicas}})


@asynccontextmanager
async def stuck(team: Team, worker: Worker) -> AsyncIterator[str]:
    """A queue with a poisoned message that the Rollout's first version has run; yields the job."""
    await team.target(queue={"workers": [WORKER]})
    job = await team.failed_job(task_id="poison")
    await team.redis.lpush("work", envelope("poison", args=(job, ["not", "text"])))
    await worker.roll_out(1)
    await worker.healthy()

    async def has_failed() -> bool:
        return bool(await team.runs(job))

    await until(has_failed, "the poisoned job to fail")
    yield job


async def ran_once(team: Team, job: str) -> None:
    """Wait until the job has run as its new task; fail if that has run twice."""
    fresh = (await team.job(job))["task_id"]

    async def new_runs() -> list[str]:
        return [one for one in await team.runs(job) if one != "poison"]

    assert await until(new_runs, "the job to run as its new task") == [fresh]


async def test_at_0_replicas_a_canary_goes_on_without_pods_and_is_promoted_unless_it_waits_for_a_person(
    team: Team,
) -> None:
    timed = Worker(team, WEIGHT, WAITS_SHORTLY, {"setWeight": 100}, WAITS_SHORTLY)
    await timed.roll_out(1)
    before = (await timed.healthy())["stableRS"]
    await timed.roll_out(2)
    await timed.paused()

    await timed.scale(0)

    assert (await timed.healthy(0))["stableRS"] != before

    await timed.scale(2)
    before = (await timed.healthy())["stableRS"]
    waiting = Worker(team, WEIGHT, WAITS)
    await waiting.roll_out(3)
    await waiting.paused()
    await waiting.scale(0)
    await waiting.is_(lambda one: not one.get("replicas"), "without pods")
    await waiting.scale(2)
    status = await waiting.is_(lambda one: one.get("availableReplicas") == 2, "scaled back")
    assert (status["stableRS"], status["currentStepIndex"], status["updatedReplicas"]) == (before, 1, 1)


async def test_a_recovery_with_a_canary_in_the_middle_touches_nothing_until_it_is_promoted(team: Team) -> None:
    worker = Worker(team, WEIGHT, WAITS)
    async with stuck(team, worker) as job:
        await worker.roll_out(2)
        before = await worker.paused()

        await team.recovery(jobs=[{"id": job}])
        said = await team.waits("UpdateInProgress")

        assert 'Rollout.argoproj.io "worker" is not stopped now: it is in a canary update at step 1 of 2' in said
        assert f"kubectl argo rollouts promote --full worker -n {team.namespace}" in said
        now = await worker.paused()
        assert {key: now[key] for key in STATE} == {key: before[key] for key in STATE}
        await worker.promote()
        await team.reached("Succeeded")

        assert (await worker.healthy())["stableRS"] == before["currentPodHash"]
        assert not [label for label in (await worker.get())["metadata"].get("labels", {}) if "queuerecovery" in label]
        await ran_once(team, job)


async def test_after_an_abort_it_goes_on_once_the_former_template_is_applied_again(team: Team) -> None:
    worker = Worker(team, WEIGHT, WAITS)
    async with stuck(team, worker) as job:
        await worker.roll_out(2)
        stable = (await worker.paused())["stableRS"]
        await worker.abort()
        await team.recovery(jobs=[{"id": job}])
        assert "its update was aborted" in await team.waits("UpdateInProgress")

        await worker.roll_out(1)
        await team.reached("Succeeded")

        assert (await worker.healthy())["stableRS"] == stable
        await ran_once(team, job)


async def test_an_update_that_begins_while_the_workers_end_gets_pods_before_a_message_is_taken(team: Team) -> None:
    worker = Worker(team, WEIGHT, WAITS)
    async with stuck(team, worker) as job:
        await team.redis.lpush("work", envelope("busy", args=(10,), task="work.wait"))

        async def is_busy() -> bool:
            return not await team.redis.exists("work")

        await until(is_busy, "a worker to be busy")
        await team.recovery(jobs=[{"id": job}])
        await team.waits("Draining")

        await worker.roll_out(2)
        await team.waits("UpdateInProgress")

        status = await worker.paused()
        assert (status["availableReplicas"], status["updatedReplicas"]) == (2, 1)
        assert "messages" not in await team.status()
        await worker.promote()
        await team.reached("Succeeded")
        await ran_once(team, job)


async def test_a_blue_green_update_in_the_middle_is_not_disturbed_either(team: Team) -> None:
    service: Json = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "worker"}}
    service["spec"] = {"selector": {"app": "worker"}, "ports": [{"port": 80}]}
    await team.api.create(f"/api/v1/namespaces/{team.namespace}/services", service)
    blue_green = {"blueGreen": {"activeService": "worker", "autoPromotionEnabled": False}}
    worker = Worker(team, strategy=blue_green)
    async with stuck(team, worker) as job:
        await worker.roll_out(2)
        await worker.is_(lambda one: bool(one.get("pauseConditions")), "paused")

        await team.recovery(jobs=[{"id": job}])
        assert "it is in a blue-green update, paused (BlueGreenPause)" in await team.waits("UpdateInProgress")
        await worker.promote()
        await team.reached("Succeeded")

        await worker.healthy()
        await ran_once(team, job)


async def test_deaf_workers_are_restarted_without_a_canary(team: Team) -> None:
    worker = Worker(team, WEIGHT, WAITS)
    async with stuck(team, worker):
        before = await worker.healthy()

        await team.recovery(jobs=[], purge={"mode": "None"}, restart={"annotate": True})
        status = await team.reached("Succeeded")

        now = await worker.healthy()
        assert now["restartedAt"] == (await worker.get())["spec"]["restartAt"] == status["drainStartTime"]
        assert now["currentPodHash"] == before["currentPodHash"]
        pods = (await team.api.get(f"/api/v1/namespaces/{team.namespace}/pods"))["items"]
        assert all(pod["metadata"]["creationTimestamp"] >= now["restartedAt"] for pod in pods)


async def test_what_the_former_pods_of_a_rollout_have_left_is_given_back_once_and_consumed(team: Team) -> None:
    worker = Worker(team, WEIGHT, WAITS)
    async with stuck(team, worker):
        before = await worker.healthy()
        left = json.dumps([json.loads(envelope("left", args=("left",))), "", "work"])
        await team.redis.hset("unacked", "left", left)
        await team.redis.zadd("unacked_index", {"left": time() - 60})

        await team.recovery(jobs=[], purge={"mode": "None"}, redeliver={}, restart={"annotate": True})
        status = await team.reached("Succeeded")

        now = await worker.healthy()
        assert now["restartedAt"] == status["drainStartTime"]
        assert now["currentPodHash"] == before["currentPodHash"]
        assert status["redelivered"]["redelivered"] >= 1
        assert condition(status, "Consumed")["status"] == "True"

        async def has_run() -> bool:
            return bool(await team.runs("left"))

        await until(has_run, "what was left to run")
        assert await team.runs("left") == ["left"]
