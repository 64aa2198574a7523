"""A second recovery of the same jobs: no job is left pending without a message, and none has two."""

import asyncio
import json

from tests.e2e.team import Team, envelope


async def _ids(team: Team) -> list[str]:
    """Return the task ids in the queue, the next one first."""
    return [json.loads(message)["headers"]["id"] for message in await team.queued()]


async def test_of_two_at_once_one_enqueues_each_job_and_the_other_leaves_its_message(team: Team) -> None:
    await team.workers()
    await team.target()
    jobs = [await team.failed_job(task_id=f"poison-{n}") for n in range(3)]
    await team.redis.lpush("work", *(envelope(f"poison-{n}") for n in range(3)))
    for name in ("one", "other"):
        await team.recovery(name, suspend=True, jobs=[{"id": job} for job in jobs])
        await team.waits("Suspended", name)

    await asyncio.gather(*(team.change(name, suspend=False) for name in ("one", "other")))
    ended = [await team.reached("Succeeded", name) for name in ("one", "other")]

    assert sorted(status["jobs"]["enqueued"] for status in ended) == [0, 3]
    waiting = {(await team.job(job))["task_id"] for job in jobs}
    assert sorted(await _ids(team)) == sorted(waiting)


async def test_one_that_finds_nothing_waits_while_another_holds_the_queue_and_takes_what_comes_back(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.redis.set("queuerecovery.dev:lock:work", "another")
    await team.recovery(jobs=[])
    assert "another" in await team.waits("Locked")
    await team.redis.lpush("work", envelope("given-back"))
    await team.redis.delete("queuerecovery.dev:lock:work")

    status = await team.reached("Succeeded")

    assert status["messages"]["quarantined"] == 1
    assert await _ids(team) == []
