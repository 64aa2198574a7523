"""Taking a queue: all of it, nothing else, byte for byte."""

import json
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.layout.own_keys import OwnKeys
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run, SeenJob
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, everything, recovery, tasks
from tests.broker.conftest import Connect

Word = bytes | bytearray | memoryview | str | int | float
Fields = dict[Word, Word]


async def test_all_lists_and_unacked_entries_of_the_queue_go_into_the_quarantine_unchanged(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held-1", "held-2", "first", "second")
    application.enqueue("tts", "low", priority=9)
    application.hold("tts", 2)
    before = await everything(redis)

    await broker.run(run).open()
    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked, taken.undecodable) == (3, 2, 0)
    kept = await everything(redis, without=["queuerecovery.dev:run:", "queuerecovery.dev:lock:"])
    assert kept == {
        f"{taken.quarantine}:1:ready:0".encode(): before[b"tts"],
        f"{taken.quarantine}:1:ready:9".encode(): before[f"tts{SEP}9".encode()],
        f"{taken.quarantine}:1:unacked".encode(): before[b"unacked"],
        f"{taken.quarantine}:1:unacked_index".encode(): before[b"unacked_index"],
    }


async def test_everything_else_on_the_server_stays_as_it_is(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.bind("jobs", "tasks", "topic", "jobs.*")
    application.enqueue("mail", "held", "waiting")
    application.hold("mail", 1)
    application.enqueue("tts2", "another queue whose name begins alike")
    await redis.set("celery-task-meta-1", "{}")
    await redis.set("lock:tts", "another program's")
    before = await everything(redis)
    application.enqueue("tts", "ours", "waits")
    application.hold("tts", 1)

    await broker.run(run).open()
    await broker.run(run).take()

    assert await everything(redis, without=["queuerecovery.dev:"]) == before


async def test_a_take_that_is_asked_for_again_answers_the_same_and_leaves_what_came_after_the_boundary(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    await broker.run(run).open()
    taken = await broker.run(run).take()
    application.enqueue("tts", "new")
    application.hold("tts", 1)
    application.enqueue("tts", "newer")
    before = await everything(redis)

    assert await broker.run(run).take() == taken
    assert await everything(redis) == before


async def test_a_queue_without_messages_passes_its_boundary(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).open()

    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked) == (0, 0)
    await broker.run(run).push({run.queue: tasks(1)})
    assert (await broker.depths(["tts"]))[0] == {"tts": 1}


async def test_priority_lists_that_the_target_does_not_declare_are_taken_too(
    broker: RedisBroker, application: Application, server: Server, redis: Redis, run: Run
) -> None:
    del application
    with Application.connected(server.url, priority_steps=list(range(256))) as other:
        for priority in (1, 4, 255):
            other.enqueue("tts", f"p{priority}", priority=priority)

    await broker.run(run).open()

    assert (await broker.count("tts")).ready == 3
    assert (await broker.run(run).take()).ready == 3
    assert not await redis.keys("tts*")


async def test_undeclared_lists_under_a_separator_that_people_type_may_be_somebody_elses_and_stay(
    connect: Connect, redis: Redis, run: Run
) -> None:
    await redis.rpush("tts:3", '{"body": "declared", "properties": {}}')
    await redis.rpush("tts:7", '{"body": "not declared", "properties": {}}')
    broker = connect(TransportOptions(sep=":"))

    await broker.run(run).open()
    taken = await broker.run(run).take()

    assert taken.ready == 1
    assert await redis.keys("tts*") == [b"tts:7"]


async def test_prefix_separator_steps_and_names_of_unacked_are_the_applications(
    connect: Connect, server: Server, redis: Redis, run: Run
) -> None:
    with Application.connected(
        server.url,
        global_keyprefix="shop.",
        sep="|",
        priority_steps=[0, 5],
        unacked_key="held",
        unacked_index_key="held_at",
    ) as application:
        application.bind("tts", "speech", "direct", "render")
        application.enqueue("tts", "held-1")
        application.publish("speech", "render", "held-2", "waits")
        application.enqueue("tts", "low", priority=7)
        application.hold("tts", 2)
        application.disappear()
    options = TransportOptions(
        global_key_prefix="shop.",
        sep="|",
        priority_steps=[0, 5],
        unacked_key="held",
        unacked_index_key="held_at",
    )
    broker = connect(options)
    await redis.rpush("tts", "another application's, without the prefix")

    await broker.check_queue("tts")
    await broker.run(run).open()
    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked) == (2, 2)
    left = await everything(redis, without=["shop.queuerecovery.dev:"])
    assert sorted(left) == [b"shop._kombu.binding.speech", b"shop._kombu.binding_permanent.speech", b"tts"]


async def test_messages_that_came_through_an_exchange_are_attributed_by_its_bindings(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    application.bind("tts", "tasks", "topic", "speech.#")
    application.bind("mail", "tasks", "topic", "mail.*")
    application.bind("tts", "named", "direct", "render")
    application.bind("mail", "named", "direct", "send")
    application.publish("tasks", "speech.render.now", "topic")
    application.publish("named", "render", "direct")
    application.publish("tasks", "mail.send", "other topic")
    application.publish("named", "send", "other direct")
    application.hold("tts", 2)
    application.hold("mail", 2)

    await broker.run(run).open()

    assert (await broker.count("tts")).unacked == 2
    assert (await broker.run(run).take()).unacked == 2
    assert (await broker.count("mail")).unacked == 2


async def test_copies_that_share_a_delivery_tag_with_another_queue_are_refused(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    application.bind("tts", "tasks", "direct", "both")
    application.bind("archive", "tasks", "direct", "both")
    application.publish("tasks", "both", "copied")
    application.hold("tts", 1)

    with pytest.raises(RecoveryError, match="archive") as refused:
        await broker.count("tts")
    assert refused.value.reason == "SharedRoute"
    await broker.run(run).open()
    with pytest.raises(RecoveryError, match="SharedRoute"):
        await broker.run(run).take()
    assert await broker.queued_task_ids(["copied"], "tts") == {"copied"}


async def test_entries_that_nobody_can_read_stay_and_are_counted_and_list_messages_are_taken_as_they_are(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    unreadable: Fields = {
        b"cut off": b'[{"body"',
        b"no triple": b'["tts"]',
        b"no text": b'[{}, 1, "tts"]',
        b"pickle": b"\x80\x04\x95tts",
        b"deep": b"[" * 100_000,
    }
    await redis.hset("unacked", mapping=unreadable)
    await redis.rpush("tts", b"\x80\x04 not JSON", b"")
    run = replace(run, take_unreadable=True)
    await broker.run(run).open()

    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked, taken.undecodable) == (2, 0, 5)
    assert await redis.hgetall("unacked") == unreadable
    assert await redis.lrange(OwnKeys().quarantine(run.uid, "1:ready:0"), 0, -1) == [b"\x80\x04 not JSON", b""]


@pytest.mark.parametrize("odd", [r'"\ud800", "tts"', r'"", "\ud83d"', r'"tasks", "tts\udc00"'])
async def test_an_entry_whose_names_have_a_lone_surrogate_is_of_no_queue_and_stops_nothing(
    broker: RedisBroker, application: Application, redis: Redis, run: Run, odd: str
) -> None:
    application.enqueue("tts", "held")
    application.hold("tts", 1)
    await redis.hset("unacked", "odd", f'[{{"body": "", "properties": {{}}}}, {odd}]')
    await redis.zadd("unacked_index", {"odd": 1})
    await redis.sadd("_kombu.binding.tasks", f"#{SEP}x{SEP}tts")

    assert (await broker.unacked(["tts"])).not_counted == 1
    assert (await broker.count("tts")).undecodable == 1
    assert await broker.queued_task_ids(["held"], "tts") == {"held"}
    await broker.run(run).open()
    taken = await broker.run(run).take()

    assert (taken.unacked, taken.undecodable) == (1, 1)
    assert await redis.hkeys("unacked") == [b"odd"]


@pytest.mark.parametrize("odd", ["NaN", '"\\ud83d"', "1e999", "12345678901234567890123"])
async def test_entries_that_only_kombus_own_parser_reads_are_attributed(
    broker: RedisBroker, redis: Redis, run: Run, odd: str
) -> None:
    await redis.hset("unacked", "tag", f'[{{"headers": {{"timelimit": {odd}}}}}, null, "tts"]')
    await broker.run(run).open()

    assert (await broker.run(run).take()).unacked == 1


async def test_an_unacked_entry_without_its_time_is_taken_all_the_same(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held")
    application.hold("tts", 1)
    await redis.delete("unacked_index")
    await broker.run(run).open()

    assert (await broker.run(run).take()).unacked == 1
    await broker.run(run).close()


async def test_the_time_to_live_of_an_expiring_queue_does_not_reach_the_quarantine(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "waits")
    await redis.expire("tts", 100)
    await broker.run(run).open()

    taken = await broker.run(run).take()

    assert await redis.ttl(f"{taken.quarantine}:1:ready:0") == -1


async def test_a_list_of_another_type_stops_the_boundary_before_it_takes_anything(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "waits")
    await redis.set(f"tts{SEP}6", "no list")
    await broker.run(run).open()

    with pytest.raises(RecoveryError, match="WrongKeyType"):
        await broker.run(run).take()
    assert await redis.llen("tts") == 1


@pytest.mark.parametrize("lost", ["run", "all"])
async def test_a_run_whose_record_vanished_is_not_opened_again_and_takes_nothing(
    broker: RedisBroker, application: Application, redis: Redis, run: Run, lost: str
) -> None:
    await broker.run(run).open()
    application.enqueue("tts", "waits")
    await redis.delete(f"queuerecovery.dev:run:{run.uid}")
    if lost == "all":
        await redis.delete("queuerecovery.dev:lock:tts")
    else:
        with pytest.raises(RecoveryError, match="BrokerLostData"):
            await broker.run(run).open()

    for step in (
        broker.run(run).take(),
        broker.run(run).push({run.queue: tasks(1)}),
        broker.run(run).freeze({run.queue: {"a": None}}),
        broker.run(run).pass_boundary(),
    ):
        with pytest.raises(RecoveryError, match="BrokerLostData"):
            await step
    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).pushed()
    assert await redis.llen("tts") == 1


@pytest.mark.parametrize("lost", ["0:str:done", "1:str:poison"])
async def test_what_a_job_looked_like_and_is_lost_is_told_as_lost_before_anything_is_taken(
    broker: RedisBroker, application: Application, redis: Redis, run: Run, lost: str
) -> None:
    application.enqueue("tts", "done", "held")
    application.hold("tts", 1)
    frozen = {"0:str:done": SeenJob(status="done", task_id="done", recoverable=False), "1:str:poison": None}
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: frozen})
    await redis.hdel(f"queuerecovery.dev:run:{run.uid}", f"seen:{lost}")
    before = await everything(redis)

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).take(frozen=frozen)

    assert await everything(redis) == before


async def test_a_full_server_lets_a_queue_be_taken_and_its_run_be_ended(
    connect: Connect, application: Application, redis: Redis
) -> None:
    broker, run = connect(), recovery("tts")
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    try:
        await redis.config_set("maxmemory", 1)
        await broker.run(run).open()
        await broker.run(run).freeze({run.queue: {"0:a": None}})
        taken = await broker.run(run).take()
        await broker.run(run).close()
    finally:
        await redis.config_set("maxmemory", 0)

    assert (taken.ready, taken.unacked) == (1, 1)


async def test_entries_larger_than_a_batch_are_moved_one_by_one(broker: RedisBroker, redis: Redis, run: Run) -> None:
    large = json.dumps([{"body": "x" * 300_000}, "", "tts"])
    await redis.hset("unacked", mapping={f"tag{n}": large for n in range(5)})
    await broker.run(run).open()

    assert (await broker.run(run).take()).unacked == 5
