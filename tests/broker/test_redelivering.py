"""Messages in `unacked` are given back to their lists: the same bytes, in their order, once, and nothing else."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.queue_run import RedisQueueRun
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import HeldMessage, Run
from tests.broker.application import SEP, Application, recovery_of
from tests.broker.conftest import Connect, on_one_server


async def opened(broker: RedisBroker, *runs: Run) -> RedisQueueRun:
    """Return a run that may give messages back."""
    run = broker.run(*runs)
    await run.open()
    await run.pass_boundary()
    return run


async def read(broker: RedisBroker, *queues: str) -> list[HeldMessage]:
    return [message async for portion in broker.held(*queues or ("tts",)) for message in portion]


async def messages(redis: Redis, key: str = "tts") -> Sequence[bytes]:
    """Return the messages of a list, the one that is consumed next first."""
    return [one for one in reversed(await redis.lrange(key, 0, -1)) if isinstance(one, bytes)]


async def test_messages_are_given_back_byte_for_byte_in_the_order_of_their_delivery_before_those_that_wait(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "a", "b", "c", "d")
    before = await messages(redis)
    application.hold("tts", 3)
    application.enqueue("mail", "mail")
    application.hold("mail", 1)
    application.disappear()

    act = await opened(broker, run)
    found = await read(broker)
    assert [one.delivered for one in found] == sorted((one.delivered for one in found), reverse=True, key=str)
    await act.redeliver(found)

    assert await messages(redis) == before
    assert await act.redelivered() == 3
    assert (await redis.hlen("unacked"), await redis.zcard("unacked_index")) == (1, 1)
    await act.redeliver(found)
    assert await messages(redis) == before
    assert await act.redelivered() == 3
    assert application.consume("tts") == ["a", "b", "c", "d"]


@pytest.mark.parametrize("forged", ["rubbish", "1.5", "-1", "9" * 16])
async def test_a_count_that_another_client_has_forged_is_refused_before_anything_is_moved(
    broker: RedisBroker, application: Application, redis: Redis, run: Run, forged: str
) -> None:
    application.enqueue("tts", "a")
    application.hold("tts", 1)
    application.disappear()
    act = await opened(broker, run)
    await redis.hset(f"queuerecovery.dev:run:{run.uid}", "redelivered", forged)

    with pytest.raises(RecoveryError) as refused:
        await act.redeliver(await read(broker))

    assert refused.value.reason == "BrokerLostData"
    assert (await redis.hlen("unacked"), await redis.zcard("unacked_index"), await messages(redis)) == (1, 1, [])


async def test_each_message_goes_to_the_list_of_its_priority_and_queue(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.bind("tts", "work", "topic", "tts.#")
    application.publish("work", "tts.now", "routed")
    application.enqueue("tts", "low", priority=7)
    application.enqueue("mail", "mail")
    application.hold("tts", 2)
    application.hold("mail", 1)
    application.disappear()

    act = await opened(broker, *recovery_of("tts", "mail"))
    await act.redeliver(await read(broker, "tts", "mail"))

    lists = {key: [json.loads(one)["headers"]["id"] for one in await messages(redis, key)] for key in ("tts", "mail")}
    assert lists == {"tts": ["routed"], "mail": ["mail"]}
    assert [json.loads(one)["headers"]["id"] for one in await messages(redis, f"tts{SEP}6")] == ["low"]
    assert await act.redelivered() == 3


async def test_a_message_that_was_delivered_again_since_it_was_read_is_left_to_its_new_consumer(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "a", "b")
    application.hold("tts", 2)
    found = await read(broker)
    tag = found[1].tag.decode()
    application.give_back(tag)
    application.hold("tts", 1)
    application.disappear()

    act = await opened(broker, run)
    await act.redeliver(found)

    assert await act.redelivered() == 1
    assert await redis.hkeys("unacked") == [tag.encode()]


async def test_a_restore_sweep_beside_it_moves_each_message_once(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    ids = [f"m{number}" for number in range(300)]
    application.enqueue("tts", *ids)
    application.hold("tts", len(ids))
    found = await read(broker)
    act = await opened(broker, run)
    application.channel.qos.visibility_timeout = -1

    await asyncio.gather(act.redeliver(found), asyncio.to_thread(application.restore_visible, 200))

    waiting = [json.loads(one)["headers"]["id"] for one in await messages(redis)]
    held = [json.loads(one)[0]["headers"]["id"] for one in await redis.hvals("unacked")]
    assert sorted(waiting + held) == sorted(ids)
    application.disappear()


@on_one_server
async def test_many_messages_are_read_in_portions_the_newest_first(broker: RedisBroker, redis: Redis) -> None:
    envelope = json.dumps({"headers": {"id": "m", "task": "t"}, "properties": {"priority": 0}, "body": ""})
    entries = {f"tag-{n}": f'[{envelope}, "", "tts"]' for n in range(1_234)}
    await redis.hset("unacked", items=[word for entry in entries.items() for word in entry])
    await redis.zadd("unacked_index", {tag: float(n) for n, tag in enumerate(entries)})
    await redis.zadd("unacked_index", {"gone": 5.5})

    portions = [portion async for portion in broker.held("tts")]

    assert max(map(len, portions)) <= 100
    assert [one.delivered for portion in portions for one in portion] == [float(n) for n in reversed(range(1_234))]


@on_one_server
async def test_deliveries_and_acknowledgements_meanwhile_hide_no_message(broker: RedisBroker, redis: Redis) -> None:
    envelope = json.dumps({"headers": {"id": "m", "task": "t"}, "properties": {"priority": 0}, "body": ""})
    entries = {f"tag-{n}": f'[{envelope}, "", "tts"]' for n in range(400)}
    await redis.hset("unacked", items=[word for entry in entries.items() for word in entry])
    await redis.zadd("unacked_index", {tag: float(n) for n, tag in enumerate(entries)})
    seen = []

    async for portion in broker.held("tts"):
        seen += [one.tag.decode() for one in portion]
        newest = f"new-{len(seen)}"
        await redis.hset("unacked", newest, f'[{envelope}, "", "tts"]')
        await redis.zadd("unacked_index", {newest: 1e6})
        acknowledged = f"tag-{len(seen) // 100}"
        await redis.hdel("unacked", acknowledged)
        await redis.zrem("unacked_index", acknowledged)

    assert set(seen) >= {f"tag-{n}" for n in range(10, 400)}


async def test_large_messages_are_moved_by_the_server_and_never_read(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    message = json.dumps({"body": "x" * 5 * 2**20, "headers": {"id": "large"}, "properties": {"priority": 3}})
    await redis.hset("unacked", "large", f'[ {message},"","tts"] ')
    await redis.zadd("unacked_index", {"large": 1.5})

    act = await opened(broker, run)
    await act.redeliver(await read(broker))

    assert await messages(redis, f"tts{SEP}3") == [message.encode()]
    assert await redis.hlen("unacked") == 0


async def test_nothing_is_given_back_before_the_boundary_or_once_the_run_is_closed(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "a")
    application.hold("tts", 1)
    found = await read(broker)
    act = broker.run(run)
    await act.open()
    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await act.redeliver(found)
    await act.pass_boundary()
    closed = await act.close()

    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await act.redeliver(found)

    assert (closed.redelivered, await redis.hlen("unacked")) == (0, 1)
    await redis.flushall()
    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await act.redeliver(found)
    application.disappear()


async def test_a_message_that_may_be_another_queues_copy_is_refused(
    broker: RedisBroker, application: Application
) -> None:
    for queue in ("tts", "audit"):
        application.bind(queue, "all", "fanout" if queue == "never" else "direct", "both")
    application.publish("all", "both", "copied")
    application.hold("tts", 1)

    with pytest.raises(RecoveryError, match="SharedRoute"):
        await read(broker)
    with pytest.raises(RecoveryError, match="SharedRoute"):
        await read(broker, "tts", "audit")
    application.disappear()


async def test_a_list_of_another_program_is_not_touched(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "a")
    application.hold("tts", 1)
    application.disappear()
    act = await opened(broker, run)
    await redis.set("tts", "another program's")

    with pytest.raises(RecoveryError, match="WrongKeyType"):
        await act.redeliver(await read(broker))

    assert await redis.hlen("unacked") == 1


async def test_what_cannot_be_read_is_left_where_it_is(broker: RedisBroker, redis: Redis) -> None:
    await redis.hset("unacked", mapping={"pickle": b"\x80\x02", "text": '"text"', "x" * 2_000: "[]"})
    await redis.zadd("unacked_index", {"pickle": 1, "text": 2, "x" * 2_000: 3})

    assert await read(broker) == []


async def test_a_server_that_is_full_gives_messages_back_all_the_same(
    connect: Connect, application: Application, redis: Redis, run: Run
) -> None:
    broker = connect()
    application.enqueue("tts", "a")
    application.hold("tts", 1)
    application.disappear()
    act = await opened(broker, run)
    found = await read(broker)
    await redis.config_set("maxmemory", "1mb")
    try:
        await act.redeliver(found)
    finally:
        await redis.config_set("maxmemory", "0")

    assert await redis.llen("tts") == 1


async def test_what_changes_when_a_message_is_consumed_is_read_of_lists_and_unacked(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.enqueue("tts", "a", "b", "c")
    first = (await broker.ends("tts", "mail"))["tts"]
    application.hold("tts", 1)
    second = await broker.ends("tts", "mail")
    application.disappear()

    assert (first.waiting, first.newest) == (3, None)
    assert (second["tts"].waiting, second["mail"].waiting) == (2, 0)
    assert second["tts"].newest is not None
    assert first.lists["tts"].tail[1:] == second["tts"].lists["tts"].tail
    assert second["mail"].newest is None
    del redis
