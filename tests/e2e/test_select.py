"""A recovery that takes a part of its queue, as its user sees it, on real parts."""

import json

import pytest

from sandbox.processes import until
from tests.e2e.team import CELERY, Team, envelope


async def test_only_what_is_selected_is_taken_and_a_job_whose_message_is_left_is_not_enqueued_twice(
    team: Team,
) -> None:
    await team.workers()
    await team.target()
    messages = [envelope(f"t{n}", retries=n % 2 * 5) for n in range(6)] + [b"no json at all"]
    await team.redis.lpush("work", *messages)
    entries = {f"tag-{n}": b'[%s, "", "work"]' % envelope(f"held-{n}", retries=n * 5) for n in range(2)}
    for tag, entry in entries.items():
        await team.redis.hset("unacked", tag, entry)
    kept, taken, held = [await team.failed_job(task_id=name) for name in ("t2", "t3", "held-0")]
    await team.recovery(
        purge={"select": {"tasks": ["work.run"], "minRetries": 5}}, jobs=[{"id": one} for one in (kept, taken, held)]
    )

    status = await team.reached("Succeeded")

    counts = {"found": 9, "quarantined": 4, "left": 5}
    assert {key: status["messages"][key] for key in counts} == counts
    assert [(row["id"], row["reason"]) for row in status["skipped"]] == [(kept, "StillQueued"), (held, "StillQueued")]
    *stayed, fresh = [*(await team.queued())[:4], (await team.queued())[-1]]
    assert stayed == messages[0:6:2] + messages[6:]
    assert json.loads(fresh)["headers"]["id"] == (await team.job(taken))["task_id"]
    assert await team.redis.hgetall("unacked") == {b"tag-0": entries["tag-0"]}
    name = status["quarantine"]["name"]
    assert await team.redis.lrange(f"{name}:1:ready:0", 0, -1) == messages[5:0:-2]
    assert "4 messages quarantined, 5 left in the queue; 1 of 3 jobs enqueued, 2 skipped" in status["message"]


@pytest.mark.thorough
async def test_real_workers_run_what_was_left_and_what_was_enqueued_and_nothing_of_the_rest(team: Team) -> None:
    job = await team.failed_job(task_id="poison")
    await team.target()
    await team.redis.lpush("work", envelope("poison", args=(job, ["no", "text"])))
    await team.workers(command=CELERY)

    async def has_failed() -> bool:
        return len(await team.runs(job)) >= 2

    await until(has_failed, "the poisoned task to fail twice")
    await team.kubectl("scale", "deployment/worker", "--replicas=0")
    await team.kubectl("wait", "--for=delete", "pods", "--selector=app=worker", "--timeout=60s")
    await team.redis.lpush("work", *(envelope(f"good-{n}", args=(f"good-{n}",), retries=0) for n in range(3)))
    before = len(await team.runs(job))
    await team.recovery(restart={"strategy": "Manual"}, purge={"select": {"minRetries": 1}}, jobs=[{"id": job}])
    await team.waits("AwaitingManualScaleUp")
    await team.kubectl("scale", "deployment/worker", "--replicas=1")
    status = await team.reached("Succeeded")

    async def all_ran() -> bool:
        fresh = (await team.job(job))["task_id"]
        return fresh in await team.runs(job) and all([await team.runs(f"good-{n}") for n in range(3)])

    await until(all_ran, "the kept messages and the job to run")
    assert (await team.runs(job))[before:] == [(await team.job(job))["task_id"]]
    assert [await team.runs(f"good-{n}") for n in range(3)] == [[f"good-{n}"] for n in range(3)]
    assert (status["messages"]["quarantined"], status["messages"]["left"]) == (1, 3)
