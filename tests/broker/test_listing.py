"""The first messages of a quarantine are described by their headers, in the order in which they would be consumed."""

import json

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.values import LARGEST
from queue_recovery.recovery.ports import QuarantinedHeaders, Run, SeenJob
from tests.broker.application import Application, everything, restoring
from tests.broker.test_restoring import end, purge, put_back


async def first(broker: RedisBroker, run: Run, most: int) -> list[QuarantinedHeaders]:
    """Describe what a restore would put back."""
    assert run.restore is not None
    return list(await broker.first_restorable(run.restore, most))


async def ids(broker: RedisBroker, run: Run, most: int) -> list[str | None]:
    return [one.task_id for one in await first(broker, run, most)]


async def test_the_first_of_them_are_those_that_a_worker_would_consume_first(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", *(f"m{n:03}" for n in range(300)))
    application.hold("tts", 130)
    application.disappear()
    await purge(broker, run)
    before = await everything(redis)

    few, all_of_them = await ids(broker, restoring(run), 20), await ids(broker, restoring(run), 1000)

    assert few == [f"m{n:03}" for n in range(20)]
    assert len(all_of_them) == 300
    assert await everything(redis) == before
    await put_back(broker, restoring(run))
    assert all_of_them == application.consume("tts")


async def test_large_messages_do_not_change_the_order_and_are_not_read_whole(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    sizes = [10, 10, 200_000, 10, LARGEST, 10, 300_000, 10, 10, 10, 10, 10]
    messages = [
        json.dumps({"body": "x" * size, "headers": {"id": f"m{n}"}, "properties": {"correlation_id": f"m{n}"}}).encode()
        for n, size in enumerate(sizes)
    ]
    await redis.lpush("tts", *messages)
    await redis.hset("unacked", "tag", b'[%s, "", "tts"]' % messages[4])
    await redis.zadd("unacked_index", {"tag": 1.0})
    await purge(broker, run)

    found = await first(broker, restoring(run), 20)

    assert [one.task_id for one in found] == ["m4", *(f"m{n}" for n in range(12))]
    assert [one.size for one in found[1:]] == list(map(len, messages))


async def test_only_what_would_go_back_is_listed(broker: RedisBroker, application: Application, run: Run) -> None:
    application.enqueue("tts", *(f"m{n:03}" for n in range(250)))
    await purge(broker, run)

    assert await ids(broker, restoring(run, task_ids=["m001", "m249"]), 20) == ["m001", "m249"]
    assert await ids(broker, restoring(run, task_ids=["m001", "m249"]), 1) == ["m001"]


async def test_a_message_says_its_task_its_retries_its_size_and_the_job_that_it_was_of(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.send("tts", "old-1", task="tts.render", retries=3)
    application.send("tts", "other")
    sizes = [len(message) for message in reversed(await redis.lrange("tts", 0, -1))]
    await broker.run(run).open()
    await broker.run(run).freeze(
        {run.queue: {"0:str:662f": SeenJob(status="failed", task_id="old-1"), "1:str:x": None}}
    )
    await broker.run(run).take()
    await end(broker, run)

    assert await first(broker, restoring(run), 20) == [
        QuarantinedHeaders(task_id="old-1", task="tts.render", retries=3, job="0:str:662f", size=sizes[0]),
        QuarantinedHeaders(task_id="other", task="tts.render", retries=0, job=None, size=sizes[1]),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        {"id": 5, "task": None, "retries": "3"},
        {"id": ["x"], "task": {"x": 1}, "retries": True},
        {"retries": -1},
        {"retries": 2**70},
    ],
)
async def test_what_headers_do_not_say_is_left_out(
    broker: RedisBroker, redis: Redis, run: Run, headers: object
) -> None:
    message = json.dumps({"body": "W1tdXQ==", "headers": headers, "properties": {}}).encode()
    await redis.lpush("tts", message)
    await purge(broker, run)

    nothing = QuarantinedHeaders(task_id=None, task=None, retries=None, job=None, size=len(message))
    assert await first(broker, restoring(run), 20) == [nothing]


async def test_names_of_any_length_are_cut(broker: RedisBroker, redis: Redis, run: Run) -> None:
    message = {"body": "", "headers": {"id": "i" * 100_000, "task": "t" * 100_000}, "properties": {}}
    await redis.lpush("tts", json.dumps(message))
    await purge(broker, run)

    (found,) = await first(broker, restoring(run), 20)

    assert len(found.task_id or "") == len(found.task or "") == 1024
