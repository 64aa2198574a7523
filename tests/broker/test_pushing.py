"""Enqueuing: each job once, also when the connection, the server or the process fails."""

import asyncio
import json
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection import connecting
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run, SeenJob
from sandbox.broker import Broker as Server
from sandbox.processes import Scope, until
from tests.broker.application import Application, everything, recovery, tasks
from tests.broker.conftest import Connect


async def purged(broker: RedisBroker, run: Run) -> None:
    """Bring a run to where jobs may be pushed."""
    await broker.run(run).open()
    await broker.run(run).take()


async def test_jobs_are_consumed_in_their_order_before_jobs_that_come_later(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    await purged(broker, run)

    await broker.run(run).push({run.queue: tasks(3)})
    application.enqueue("tts", "later")

    assert application.consume("tts") == ["new-0", "new-1", "new-2", "later"]


async def test_a_job_that_was_pushed_already_is_not_pushed_again_even_after_it_has_run(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    await purged(broker, run)
    await broker.run(run).push({run.queue: tasks(2)})
    application.consume("tts")

    await broker.run(run).push({run.queue: tasks(3)})

    assert application.consume("tts") == ["new-2"]
    assert await broker.run(run).pushed() == {"0:int:0", "1:int:1", "2:int:2"}


async def test_two_operators_at_once_push_each_job_once(connect: Connect, redis: Redis, run: Run) -> None:
    one, other = connect(), connect()
    await purged(one, run)

    await asyncio.gather(*(b.run(run).push({run.queue: tasks(50)}) for b in (one, other, one, other)))

    assert await redis.llen("tts") == 50


async def test_a_server_that_answers_too_late_gets_the_script_again_and_the_job_once(
    server: Server, connect: Connect, redis: Redis, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_ANSWER_SECONDS", 0.2)
    broker = connect()
    await purged(broker, run)
    scripts = (await redis.info("commandstats"))["cmdstat_eval"]["calls"]

    server.pause()
    pushing = asyncio.create_task(broker.run(run).push({run.queue: tasks(1)}))
    await asyncio.wait({pushing}, timeout=0.5)
    server.resume()
    await pushing

    assert (await redis.info("commandstats"))["cmdstat_eval"]["calls"] >= scripts + 2
    assert await redis.llen("tts") == 1


async def test_a_push_that_was_cancelled_half_way_leaves_the_connection_usable(
    server: Server, connect: Connect, redis: Redis, run: Run
) -> None:
    broker = connect()
    await purged(broker, run)

    server.pause()
    pushing = asyncio.create_task(broker.run(run).push({run.queue: tasks(1)}))
    await asyncio.wait({pushing}, timeout=0.1)
    pushing.cancel()
    await asyncio.wait({pushing})
    server.resume()

    assert await broker.depths([]) == ({}, 0)
    await broker.run(run).push({run.queue: tasks(1)})
    assert await redis.llen("tts") == 1


async def test_nothing_is_pushed_before_the_boundary(broker: RedisBroker, redis: Redis, run: Run) -> None:
    await broker.run(run).open()

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).push({run.queue: tasks(1)})
    assert not await redis.exists("tts")


async def test_without_a_purge_jobs_are_pushed_behind_what_waits(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    application.enqueue("tts", "waits")
    await broker.run(run).open()
    await broker.run(run).pass_boundary()
    await broker.run(run).pass_boundary()

    await broker.run(run).push({run.queue: tasks(1)})

    assert application.consume("tts") == ["waits", "new-0"]


async def test_a_closed_run_pushes_nothing(broker: RedisBroker, redis: Redis, run: Run) -> None:
    await purged(broker, run)
    await broker.run(run).push({run.queue: tasks(1)})
    await broker.run(run).close()
    before = await everything(redis)

    for step in (
        broker.run(run).push({run.queue: tasks(2)}),
        broker.run(run).take(),
        broker.run(run).freeze({run.queue: {"0": None}}),
        broker.run(run).open(),
    ):
        with pytest.raises(RecoveryError, match="AlreadyClosed"):
            await step
    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await broker.run(run).pushed()
    assert await everything(redis) == before


async def test_a_queue_that_meanwhile_became_another_type_gets_nothing_and_no_marker(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    await purged(broker, run)
    await redis.set("tts", "no list")

    with pytest.raises(RecoveryError, match="WrongKeyType"):
        await broker.run(run).push({run.queue: tasks(1)})
    assert await broker.run(run).pushed() == frozenset()


async def test_a_full_server_takes_no_job_and_no_marker_and_is_tried_again_later(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    await purged(broker, run)
    try:
        await redis.config_set("maxmemory", 1)
        with pytest.raises(RecoveryError, match="maxmemory") as refused:
            await broker.run(run).push({run.queue: tasks(2)})
        assert refused.value.reason == "BrokerReadOnly"
    finally:
        await redis.config_set("maxmemory", 0)
    assert await broker.run(run).pushed() == frozenset()

    await broker.run(run).push({run.queue: tasks(2)})

    assert await redis.llen("tts") == 2


async def test_a_server_that_dies_and_comes_back_with_its_data_is_reached_again(
    scope: Scope, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_SECONDS", 0.5)
    server = await Server.start(scope, options=["--appendonly", "yes", "--appendfsync", "always"])
    broker = RedisBroker.connect(server.url, TransportOptions())
    await purged(broker, run)
    await broker.run(run).push({run.queue: tasks(1)})
    await server.kill()

    with pytest.raises(RecoveryError) as away:
        await broker.run(run).push({run.queue: tasks(2)})
    assert away.value.reason == "BrokerUnavailable"
    await server.restart()

    async def pushed() -> bool:
        await broker.run(run).push({run.queue: tasks(2)})
        return True

    await until(pushed, "the broker to be reached again", of=server.process)
    assert await broker.depths(["tts"]) == ({"tts": 2}, 0)
    await broker.aclose()


async def test_what_a_job_looked_like_first_stays(broker: RedisBroker, redis: Redis, run: Run) -> None:
    await broker.run(run).open()
    first = {f"{n}": SeenJob(status=f"failed {n}", task_id=None) for n in range(600)}
    later = SeenJob(status="pending", task_id="new")

    assert await broker.run(run).freeze({run.queue: first}) == first
    assert await broker.run(run).freeze({run.queue: dict.fromkeys(first) | {"new": later}}) == first | {"new": later}
    await broker.run(run).take()
    assert (await broker.run(run).freeze({run.queue: {"0": later}}))["0"] == first["0"]
    assert await broker.run(run).freeze({run.queue: {}}) == {}
    assert await redis.ttl(f"queuerecovery.dev:run:{run.uid}") == -1


async def test_a_job_with_a_lone_surrogate_in_its_arguments_is_enqueued_with_the_others(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    await purged(broker, run)
    first, second, third = tasks(3)

    await broker.run(run).push({run.queue: [first, replace(second, args='["caf\\ud83d"]'), third]})

    assert await redis.llen("tts") == 3
    assert await broker.run(run).pushed() == {task.key for task in (first, second, third)}


async def test_markers_of_another_recovery_do_not_count(connect: Connect, redis: Redis) -> None:
    broker, first, second = connect(), recovery("tts"), recovery("mail")
    await purged(broker, first)
    await purged(broker, second)

    await broker.run(first).push({first.queue: tasks(1)})
    await broker.run(second).push({second.queue: tasks(1)})

    assert [await redis.llen("tts"), await redis.llen("mail")] == [1, 1]


async def test_messages_go_under_the_prefix_and_say_the_queue_without_it(
    connect: Connect, redis: Redis, run: Run
) -> None:
    broker = connect(TransportOptions(global_key_prefix="shop."))
    await purged(broker, run)

    await broker.run(run).push({run.queue: tasks(1)})

    (message,) = await redis.lrange("shop.tts", 0, -1)
    assert json.loads(message)["properties"]["delivery_info"] == {"exchange": "", "routing_key": "tts"}
