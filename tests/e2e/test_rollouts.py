"""A Rollout with a canary in the middle, under a double of Argo Rollouts' controller; the real one: tests/gitops."""

from sandbox.api import Json
from sandbox.processes import until
from tests.e2e.team import CELERY, Team, envelope, worker_deployment
from tests.rollouts import RolloutsController, rollout

STEPS: tuple[Json, ...] = ({"setWeight": 50}, {"pause": {}})
WORKER: Json = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "worker"}


async def test_a_recovery_waits_for_the_end_of_a_canary_and_then_stops_the_rollout(team: Team) -> None:
    body = rollout(worker_deployment(command=CELERY), *STEPS)
    path = f"{team.path('Rollout')}/worker"

    async def status_has(key: str, value: object) -> bool:
        found = (await team.api.get(path)).get("status", {})
        return bool(found.get(key) == value)

    async with RolloutsController(team.api, team.namespace).running():
        await team.target(queue={"workers": [WORKER]})
        job = await team.failed_job(task_id="poison")
        await team.redis.lpush("work", envelope("poison", args=(job, ["not", "text"])))
        await team.apply(body)
        await until(lambda: status_has("currentStepIndex", 2), "the first version to be rolled out")
        await team.api.patch(path, {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}})
        await until(lambda: status_has("pauseConditions", [{"reason": "CanaryPauseStep"}]), "the canary to be paused")

        await team.recovery(jobs=[{"id": job}])
        said = await team.waits("UpdateInProgress")
        await team.api.patch(f"{path}/status", {"status": {"pauseConditions": None}})
        status = await team.reached("Succeeded")

    assert "it is in a canary update at step 1 of 2, paused (CanaryPauseStep)" in said
    assert [(one["apiVersion"], one["kind"], one["replicas"]) for one in status["workers"]] == [
        ("argoproj.io/v1alpha1", "Rollout", 2)
    ]
    found = await team.api.get(path)
    assert found["spec"]["replicas"] == 2
    assert not [label for label in found["metadata"].get("labels", {}) if "queuerecovery" in label]
    assert not any(entry["manager"] == "queue-recovery" for entry in found["metadata"]["managedFields"])
