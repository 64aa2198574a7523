"""A recovery that requires the image with the fix, applied in any order with it: the broken image never gets a job."""

import pytest

from sandbox.api import Json
from sandbox.processes import until
from tests.e2e.team import CELERY, Team, envelope

BROKEN, FIXED = "registry.example.com/queue-recovery:1.4.1", "registry.example.com/queue-recovery:1.4.2"
RESTART: Json = {"requireImage": [{"name": "worker", "container": "worker", "image": FIXED}]}
_STRATEGIC = "application/strategic-merge-patch+json"


async def roll_out(team: Team, image: str) -> None:
    """Change the workers' image, as a new version of their manifest does; they write down which one they have."""
    container = {"name": "worker", "image": image, "env": [{"name": "IMAGE", "value": image}]}
    body = {"spec": {"template": {"spec": {"containers": [container]}}}}
    await team.api.patch(f"{team.path('Deployment')}/worker", body, _STRATEGIC)


async def stuck(team: Team, jobs: int) -> list[str]:
    """Start workers with the broken image on a poisoned queue; return the jobs that are to be enqueued again."""
    poison = [f"poison-{n}" for n in range(jobs)]
    listed = [await team.failed_job(task_id=task_id) for task_id in poison]
    await team.target()
    for task_id, job in zip(poison, listed, strict=True):
        await team.redis.lpush("work", envelope(task_id, args=(job, ["not", "text"])))
    await team.workers(command=CELERY, replicas=1)
    await roll_out(team, BROKEN)

    async def all_failed() -> bool:
        return BROKEN.encode() in await team.redis.hvals("image of task") and all(
            [await team.runs(job) for job in listed]
        )

    await until(all_failed, "the broken image to fail at every message")
    return listed


async def images_of_new_tasks(team: Team, jobs: list[str]) -> set[object]:
    """Wait until every job has run as its new task; return the images that have run them."""
    fresh = [(await team.job(job))["task_id"] for job in jobs]

    async def all_ran() -> bool:
        return all([task in await team.runs(job) for job, task in zip(jobs, fresh, strict=True)])

    await until(all_ran, "every job to run as its new task")
    return {await team.redis.hget("image of task", task) for task in fresh}


@pytest.mark.parametrize("order", ["the recovery first", pytest.param("both at once", marks=pytest.mark.thorough)])
async def test_no_job_runs_on_the_broken_image(team: Team, order: str) -> None:
    jobs = await stuck(team, 2)
    if order == "both at once":
        await roll_out(team, FIXED)
    await team.recovery(jobs=[{"id": job} for job in jobs], restart=RESTART)
    if order == "the recovery first":
        said = await team.waits("AwaitingImage")
        assert f'Deployment "worker" has "{BROKEN}" (container "worker")' in said
        assert (await team.status())["phase"] == "Pending"
        assert await team.replicas() == 1
        await roll_out(team, FIXED)

    await team.reached("Succeeded")

    assert await images_of_new_tasks(team, jobs) == {FIXED.encode()}


@pytest.mark.thorough
async def test_a_fix_that_is_taken_back_while_jobs_are_enqueued_gets_no_further_job_until_it_is_there_again(
    team: Team,
) -> None:
    first, second = await stuck(team, 2)
    await roll_out(team, FIXED)
    rest = [{"task": "work.run", "args": f'["written out {n}"]'} for n in range(40)]
    await team.recovery(jobs=[{"id": first}, *rest, {"id": second}], restart=RESTART, reenqueue={"ratePerSecond": 4})

    async def first_is_enqueued() -> bool:
        return bool((await team.job(first))["status"] == "pending")

    await until(first_is_enqueued, "the first job to be enqueued")
    await roll_out(team, BROKEN)
    said = await team.waits("AwaitingImage")
    assert "no further job is enqueued until the image is there" in said
    await team.kubectl("rollout", "status", "deployment/worker")
    assert (await team.job(second))["status"] == "failed"

    await roll_out(team, FIXED)
    await team.reached("Succeeded")

    assert await images_of_new_tasks(team, [first, second]) == {FIXED.encode()}
    ran = await team.redis.hgetall("image of task")
    assert {image for task, image in ran.items() if "poison" not in str(task)} == {FIXED.encode()}
