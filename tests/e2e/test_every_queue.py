"""A recovery of every queue of its target, as its user sees it, on real parts."""

import json

from redis.asyncio import Redis

from sandbox.api import Json
from tests.e2e.team import Team, envelope

QUEUES = {"index": ["worker", "indexer"], "mail": ["worker"], "work": ["worker"]}


async def dumps(redis: Redis) -> dict[bytes, object]:
    """Return all that the database holds but the operator's own keys, as it is stored."""
    keys = [key for key in await redis.keys() if isinstance(key, bytes)]
    return {key: await redis.dump(key) for key in keys if not key.startswith(b"queuerecovery.dev:")}


async def of_every_queue(team: Team) -> None:
    """Create two workers, and the target with the three queues that they consume; a fourth one is not listed."""
    await team.workers("worker", replicas=2)
    await team.workers("indexer", replicas=1)
    queues: list[Json] = [
        {"name": name, "workers": [{"name": one} for one in workers], "message": {"task": f"{name}.run"}}
        for name, workers in QUEUES.items()
    ]
    await team.target(queues=queues)


async def test_every_queue_is_taken_in_one_drain_and_nothing_else_and_jobs_go_to_their_own_queues(team: Team) -> None:
    await of_every_queue(team)
    await team.redis.set("celery-task-meta-1", "{}")
    await team.redis.lpush("other", envelope("others", queue="other"))
    before = await dumps(team.redis)
    await team.redis.lpush("work", *(envelope(f"w{n}") for n in range(3)))
    await team.redis.lpush("index\x06\x163", envelope("i0", queue="index"))
    await team.redis.hset("unacked", "tag", b'[%s, "", "index"]' % envelope("held", queue="index"))
    first, second = await team.failed_job(), await team.failed_job()
    jobs = [{"id": first, "queue": "work"}, {"id": second, "queue": "mail"}]
    await team.recovery(queue="*", jobs=jobs, suspend=True)

    message = await team.waits("Suspended")
    plan = (await team.status())["plan"]
    assert (plan["queues"], plan["unlisted"], plan["unlistedTotal"]) == (["index", "mail", "work"], ["other"], 1)
    assert (plan["ready"], plan["unacked"], plan["purge"], plan["enqueue"]) == (4, 1, 5, 2)
    assert "would purge 5 messages (4 ready, 1 unacked), enqueue 2 jobs" in message
    await team.change(suspend=False)
    status = await team.reached("Succeeded")

    assert (status["messages"]["found"], status["messages"]["quarantined"]) == (5, 5)
    assert [(one["name"], one["replicas"]) for one in status["workers"]] == [("indexer", 1), ("worker", 2)]
    assert (await team.replicas("worker"), await team.replicas("indexer")) == (2, 1)
    for job, queue in ((first, "work"), (second, "mail")):
        (only,) = await team.redis.lrange(queue, 0, -1)
        headers = json.loads(only)["headers"]
        assert (headers["id"], headers["task"]) == ((await team.job(job))["task_id"], f"{queue}.run")
    left = await dumps(team.redis)
    assert {key: value for key, value in left.items() if key not in {b"work", b"mail"}} == before
    name = status["quarantine"]["name"]
    assert await team.redis.llen(f"{name}/work:1:ready:0") == 3
    assert await team.redis.llen(f"{name}/index:1:ready:3") == await team.redis.hlen(f"{name}/index:1:unacked") == 1
    assert not await team.redis.keys("queuerecovery.dev:lock:*")
