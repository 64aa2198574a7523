"""What the operator enqueues, a real Celery worker runs as if the application had sent it."""

import json
import sys
from pathlib import Path

from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Run, Task
from sandbox.broker import Broker as Server
from sandbox.processes import Scope, until

ARGS = '["662f", 1.0, 12345678901234567890123, null, 1e-7, "\\u00e4\\ud83d\\ude00", {"nested": [true]}]'
KWARGS = '{"voice": "alto", "speed": 2.50, "empty": {}, "ü": []}'


async def test_a_worker_runs_pushed_jobs_with_their_arguments_unaltered(
    scope: Scope, broker: RedisBroker, server: Server, redis: Redis, run: Run
) -> None:
    await broker.run(run).open()
    await broker.run(run).pass_boundary()
    await broker.run(run).push(
        {
            run.queue: [
                Task(key="0", task_id="id-0", task="tts.render", args=ARGS, kwargs=KWARGS),
                Task(key="1", task_id="id-1", task="tts.render", args="[]", kwargs="{}"),
                Task(key="2", task_id="id-2", task="tts.forget", args="[]", kwargs="{}"),
            ]
        }
    )

    worker = await scope.start(
        "worker",
        [
            *(Path(sys.executable).with_name("celery"), "-A", "tests.broker.worker_app", "worker", "--pool=solo"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=info"),
        ],
        environment={"BROKER_URL": server.url, "PYTHONWARNINGS": "ignore"},
    )

    async def calls() -> list[dict[str, object]] | None:
        lines = await redis.lrange("calls", 0, -1)
        return [json.loads(line) for line in lines] if len(lines) == 3 else None

    first, second, third = await until(calls, "three calls of tasks", of=worker)
    assert (first.pop("args"), first.pop("kwargs")) == (json.loads(ARGS), json.loads(KWARGS))
    assert first == {
        "id": "id-0",
        "root_id": "id-0",
        "parent_id": None,
        "correlation_id": "id-0",
        "retries": 0,
        "ignore_result": None,
        "redelivered": False,
        "priority": 0,
        "routing_key": "tts",
    }
    assert second["id"] == "id-1"
    assert third == {"forgot": True}

    async def acknowledged() -> bool:
        return await redis.hlen("unacked") == 0

    await until(acknowledged, "the worker to acknowledge all", of=worker)
    assert await redis.exists("celery-task-meta-id-0", "celery-task-meta-id-1") == 2
    assert not await redis.exists("celery-task-meta-id-2")
    await worker.stop()
