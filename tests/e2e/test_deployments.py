"""Deployments as they are in production: several, stuck, broken, deleted and created again."""

import pytest

from sandbox.processes import until
from tests.e2e.team import Team, condition, envelope


async def test_of_several_deployments_each_gets_its_own_replicas_back_and_one_at_zero_stays_there(team: Team) -> None:
    for name, replicas in {"worker": 2, "extra": 1, "spare": 0}.items():
        await team.workers(name, replicas=replicas)
    await team.target(queue={"workers": [{"name": "worker"}, {"name": "extra"}, {"name": "spare"}]})
    await team.recovery()

    status = await team.reached("Succeeded")

    assert [await team.replicas(name) for name in ("worker", "extra", "spare")] == [2, 1, 0]
    assert '"spare" has 0, as before' in condition(status, "Restarted")["message"]


async def test_a_slow_shutdown_is_waited_for_and_the_message_says_which_pod_and_until_when(team: Team) -> None:
    await team.stubborn_workers(replicas=1)
    await team.target()
    await team.recovery()
    said = ""

    async def told() -> bool:
        nonlocal said
        said = (await team.status()).get("message", "")
        return "is killed at" in said

    await until(told, "the message to name the pod")
    assert 'waiting for the pods of "worker" to end: pod "worker-' in said
    async with team.workers_end():
        await team.reached("Succeeded")
    assert await team.replicas() == 1
    assert "PodVanished" not in await team.told("Completed")


async def _break_image_in_the_drain(team: Team) -> None:
    """Have the workers come back with an image that nobody has."""
    await _until_scaled_to_zero(team)
    await team.kubectl("set", "image", "deployment/worker", "worker=nowhere:1")
    message = ""

    async def told() -> bool:
        nonlocal message
        message = (await team.status())["message"]
        return "cannot pull its image" in message

    async with team.workers_end():
        await team.waits("AwaitingRollout")
        await until(told, "the message to say why the pod does not start")
    assert "kubectl describe pod worker-" in message


@pytest.mark.thorough
async def test_workers_that_do_not_start_again_end_it_at_the_deadline_with_the_pods_reason(team: Team) -> None:
    await team.stubborn_workers(replicas=1)
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    job = await team.failed_job()
    await team.recovery(activeDeadlineSeconds=15, jobs=[{"id": job}])
    await _break_image_in_the_drain(team)

    status = await team.reached("Failed")

    assert "cannot pull its image (ImagePullBackOff)" in status["message"]
    assert await team.replicas() == 1
    assert [(row["id"], row["reason"]) for row in status["skipped"]] == [(job, "NotAttempted")]
    assert (await team.job(job))["status"] == "failed"
    assert status["quarantine"]["messages"] == 1
    assert await team.redis.keys("queuerecovery.dev:lock:*") == []


async def test_a_deployment_that_is_created_again_while_it_restarts_ends_the_wait(team: Team) -> None:
    await team.stubborn_workers(replicas=1)
    await team.target()
    await team.recovery()
    await _break_image_in_the_drain(team)
    await team.kubectl("delete", "deployment", "worker")
    await team.waits("WorkerNotFound")
    await team.workers(replicas=2)

    await team.reached("Succeeded")

    assert await team.replicas() == 2


async def _until_scaled_to_zero(team: Team) -> None:
    async def there() -> bool:
        return await team.replicas() == 0

    await until(there, "the drain")
