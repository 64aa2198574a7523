"""What a look at real queues sees of a message's past, at a cost that does not grow with the queue."""

import json
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from queue_recovery.api.stuck import MOST_NEXT
from queue_recovery.broker import RedisBroker
from queue_recovery.diagnosis.stuck_evidence import Sighting, digest
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, everything
from tests.broker.conftest import Connect
from tests.broker.test_attribution import hold
from tests.broker.test_commands_sent import watched


async def test_the_messages_that_kombu_consumes_next_are_seen(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.enqueue("tts", *(f"{number}" for number in range(8)))
    application.enqueue("tts", "urgent", priority=3)
    before = await everything(redis)

    lists = (await broker.next_messages(["tts", "empty"]))["tts"]

    assert [one.id for one in lists[0].messages] == [digest(b"%d" % number) for number in range(MOST_NEXT)]
    assert [one.id for one in lists[3].messages] == [digest(b"urgent")]
    assert {tail.undecodable for tail in lists.values()} == {0}
    assert await everything(redis) == before
    application.hold("tts", 1)
    after = (await broker.next_messages(["tts"]))["tts"]
    assert after[0].next != lists[0].next
    application.enqueue("tts", "new")
    assert (await broker.next_messages(["tts"]))["tts"][0] == after[0]


async def test_what_happened_to_a_message_is_seen_in_its_headers(broker: RedisBroker, application: Application) -> None:
    application.send("tts", "a", retries=7)
    application.hold("tts", 1)
    [seen] = (await broker.unacked(["tts"])).queues["tts"].sightings
    [tag] = application.channel.qos._delivered
    application.give_back(tag)
    [waiting] = (await broker.next_messages(["tts"]))["tts"][0].messages
    application.hold("tts", 1)
    [again] = (await broker.unacked(["tts"])).queues["tts"].sightings

    assert (seen.id, seen.task, seen.retries) == (digest(b"a"), "tts.render", 7)
    assert (seen.redelivered, seen.held) == (False, True)
    assert (waiting.id, waiting.redelivered, waiting.delivered) == (seen.id, True, None)
    assert again.redelivered
    assert seen.delivered is not None
    assert again.delivered is not None
    assert again.delivered > seen.delivered


async def test_messages_of_one_job_have_the_same_work_with_any_ids(
    broker: RedisBroker, application: Application
) -> None:
    application.send("tts", "a")
    application.send("tts", "a", priority=3)
    application.send("tts", "b", priority=6)
    lists = (await broker.next_messages(["tts"]))["tts"]
    first, second, other = (lists[priority].messages[0] for priority in (0, 3, 6))

    assert first.work is not None
    assert first.work == second.work != other.work


async def test_the_headers_of_a_large_message_are_seen_though_its_body_is_not(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.send("tts", "a" * 200_000, retries=7)
    application.send("tts", "b", retries=1)
    [message] = await redis.lrange("tts", -1, -1)
    assert isinstance(message, bytes)
    await redis.lset("tts", -1, message.decode().replace("a" * 200_000, "a"))
    [large, _] = (await broker.next_messages(["tts"]))["tts"][0].messages
    application.hold("tts", 1)
    [held] = (await broker.unacked(["tts"])).queues["tts"].sightings

    assert (large.id, large.task, large.retries, large.work) == (digest(b"a"), "tts.render", 7, None)
    assert (held.id, held.task, held.retries, held.work) == (digest(b"a"), "tts.render", 7, None)


async def test_deliveries_of_queues_that_are_not_listed_are_seen_apart(broker: RedisBroker, redis: Redis) -> None:
    await hold(redis, *(json.dumps([{}, "", queue]).encode() for queue in ("tts", "mail", "mail")), since=1700000000)

    found = await broker.unacked(["tts"])

    assert [one and one.timestamp() for one in found.elsewhere] == [1700000001, 1700000002]


@pytest.mark.parametrize(
    ("eta", "expected"),
    [
        ("2030-01-02T03:04:05.678901+00:00", datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)),
        ("2030-01-02T03:04:05", datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("soon", None),
        (5, None),
        ("9" * 5000, None),
    ],
)
async def test_the_eta_of_a_message_is_seen(
    broker: RedisBroker, redis: Redis, eta: object, expected: datetime | None
) -> None:
    await hold(redis, json.dumps([{"headers": {"id": "a", "eta": eta}}, "", "tts"]).encode())

    assert [one.eta for one in (await broker.unacked(["tts"])).queues["tts"].sightings] == [expected]


@pytest.mark.parametrize(
    ("message", "undecodable"),
    [
        (b"rubbish", 1),
        (b"null", 1),
        (b"[1]", 1),
        (b'{"body": ""}', 1),
        (b'{"body": "", "properties": {"delivery_tag": "a"}}', 1),
        (b'{"properties": {"delivery_tag": "a", "delivery_info": {"exchange": "", "routing_key": "tts"}}}', 0),
        (b"[" * 70_000, 0),
    ],
)
async def test_a_message_that_kombu_would_fail_on_is_told_from_others(
    broker: RedisBroker, redis: Redis, message: bytes, undecodable: int
) -> None:
    """One that is too complex to be parsed here may still be one."""
    await redis.rpush("tts", message)

    assert (await broker.next_messages(["tts"]))["tts"][0].undecodable == undecodable


async def test_keys_of_another_type_have_no_messages(broker: RedisBroker, redis: Redis) -> None:
    await redis.set("tts", "text")
    await redis.rpush(f"tts{SEP}3", "x")

    assert list((await broker.next_messages(["tts"]))["tts"]) == [3]


async def test_very_large_messages_are_not_sent_whole(broker: RedisBroker, redis: Redis) -> None:
    for number in range(3):
        await redis.lpush("tts", b"%d" % number * 2**21)
        await redis.lpush("mail", b"%d" % number * 2**21)
    before = (await redis.info("stats"))["total_net_output_bytes"]

    lists = await broker.next_messages(["tts", "mail"])

    assert (await redis.info("stats"))["total_net_output_bytes"] - before < 2**17
    assert lists["tts"][0].messages == [Sighting(id=None)] * 3
    assert lists["tts"][0].next == lists["mail"][0].next


async def test_the_number_of_commands_does_not_grow_with_the_queues(
    connect: Connect, redis: Redis, server: Server
) -> None:
    broker = connect()
    queues = [f"q{number}" for number in range(100)]
    for queue in queues:
        await redis.lpush(queue, *["x" * 500] * 20)
    await broker.next_messages(["q1"])

    async with watched(server, redis) as sent:
        found = await broker.next_messages(queues)

    assert all(len(found[queue][0].messages) == MOST_NEXT for queue in queues)
    assert len(sent.direct) <= 3


async def test_of_a_very_long_task_name_only_the_beginning_is_remembered(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    """A target remembers thousands of messages."""
    application.send("tts", "a", retries=1)
    [message] = await redis.lrange("tts", -1, -1)
    assert isinstance(message, bytes)
    await redis.lset("tts", -1, message.decode().replace("tts.render", "x" * 50_000))

    [seen] = (await broker.next_messages(["tts"]))["tts"][0].messages

    assert seen.task == "x" * 300


async def test_the_task_ids_of_the_oldest_messages_are_returned_whose_tasks_may_be_seen_to_run(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    others = [
        {"id": "later", "eta": "2999-01-01T00:00:00+00:00"},
        {"id": "again", "redelivered": True},
        {"id": "instead of another one", "replaced_task_nesting": 1},
    ]
    await hold(redis, *(json.dumps([{"headers": one}, "", "tts"]).encode() for one in others))
    names = [f"{number:02}" for number in range(45)]
    application.enqueue("tts", *names)
    application.hold("tts", 45)

    seen = (await broker.unacked(["tts"])).queues["tts"].sightings
    [tag, *_] = application.channel.qos._delivered
    application.channel.qos.ack(tag)
    after = (await broker.unacked(["tts"])).queues["tts"].sightings

    assert sorted(one.task_id for one in seen if one.task_id is not None) == names[:40]
    assert len(seen) == 48
    # A message that has moved up is the same one as before.
    assert {one.id for one in after} == {one.id for one in seen if one in after}
