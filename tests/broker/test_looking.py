"""Counting, checking and attributing without changing anything."""

import json
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kombu.transport.virtual.exchange import TopicExchange
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.layout.bindings import topic_matches
from queue_recovery.broker.layout.keys import Layout
from queue_recovery.recovery.errors import RecoveryError
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, everything


async def test_depths_add_priority_lists_up_and_count_unacked_of_all_queues(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.enqueue("tts", "a", "b")
    application.enqueue("tts", "c", priority=9)
    application.enqueue("mail", "d", "e")
    application.hold("mail", 1)
    await redis.set("odd", "no list")

    depths, unacked = await broker.depths(["tts", "mail", "odd", "empty"])

    assert depths == {"tts": 3, "mail": 1, "odd": 0, "empty": 0}
    assert unacked == 1


async def test_an_unacked_key_of_another_type_counts_as_nothing(broker: RedisBroker, redis: Redis) -> None:
    await redis.set("unacked", "no hash")

    assert await broker.depths(["tts"]) == ({"tts": 0}, 0)


@pytest.mark.parametrize(("key", "named"), [("tts", "tts"), (f"tts{SEP}6", "tts"), (f"tts{SEP}200", "tts")])
async def test_a_list_of_another_type_is_refused(broker: RedisBroker, redis: Redis, key: str, named: str) -> None:
    await redis.set(key, "a secret")

    with pytest.raises(RecoveryError, match=named) as refused:
        await broker.check_queue("tts")
    assert refused.value.reason == "WrongKeyType"
    assert "secret" not in refused.value.message


@pytest.mark.parametrize("key", ["unacked", "unacked_index"])
async def test_an_unacked_of_another_type_is_refused(broker: RedisBroker, redis: Redis, key: str) -> None:
    await redis.rpush(key, "x")

    with pytest.raises(RecoveryError, match=key):
        await broker.check_queue("tts")
    if key == "unacked":
        with pytest.raises(RecoveryError, match="WrongKeyType"):
            await broker.count("tts")


async def test_a_count_finds_what_a_take_would_take_and_changes_nothing(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.enqueue("tts", *(f"held-{n}" for n in range(150)))
    application.enqueue("mail", "other")
    application.hold("tts", 120)
    application.hold("mail", 1)
    await redis.hset("unacked", "unreadable", "{")
    before = await everything(redis)

    count = await broker.count("tts")

    assert (count.ready, count.unacked, count.undecodable) == (30, 120, 1)
    assert await everything(redis) == before


async def test_task_ids_are_found_in_all_lists_and_in_unacked_under_either_protocol(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.enqueue("tts", "held", *(f"m{n}" for n in range(250)))
    application.enqueue("tts", "low", priority=9)
    application.enqueue("mail", "others", "others held")
    application.hold("tts", 1)
    application.hold("mail", 1)
    protocol_1 = {"body": "e30=", "headers": {}, "properties": {"correlation_id": "old"}}
    await redis.lpush("tts", json.dumps(protocol_1), "unreadable", '{"headers": {"id": 7}}')

    wanted = ["held", "m0", "m249", "low", "old", "others", "others held", "absent"]

    assert await broker.queued_task_ids(wanted, "tts") == {"held", "m0", "m249", "low", "old"}
    each = {f"m{n}" for n in range(250)}
    assert await broker.queued_task_ids(each, "tts") == each
    assert await broker.queued_task_ids([], "tts") == frozenset()


def test_keys_are_those_that_kombu_uses(server: Server) -> None:
    steps = [0, 2, 7]
    layout = Layout(TransportOptions(sep="|", priority_steps=steps))
    with Application.connected(server.url, sep="|", priority_steps=steps) as application:
        theirs = {application.channel._q_for_pri("tts", priority) for priority in range(10)}
        bindings = application.channel.keyprefix_queue % "tasks"

    assert set(layout.declared_lists("tts").values()) == theirs
    assert layout.bindings("tasks") == bindings


async def test_bindings_of_another_form_are_left_out(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.bind("tts", "tasks", "direct", "render")
    application.publish("tasks", "render", "held")
    application.hold("tts", 1)
    await redis.sadd("_kombu.binding.tasks", "odd", f"a{SEP}b{SEP}c{SEP}d", b"\xff\xfe")

    assert (await broker.count("tts")).unacked == 1


async def test_more_bindings_than_one_answer_holds_are_read(broker: RedisBroker, redis: Redis) -> None:
    await redis.sadd("_kombu.binding.tasks", *(f"key-{n}{SEP}{SEP}queue-{n}" for n in range(500)))
    await redis.hset("unacked", "tag", '[{}, "tasks", "key-499"]')

    assert (await broker.count("queue-499")).unacked == 1


async def test_a_binding_whose_pattern_would_never_return_is_harmless(broker: RedisBroker, redis: Redis) -> None:
    key = "a" * 40 + "!"
    await redis.sadd("_kombu.binding.tasks", f"speech.*{SEP}^(a+)+${SEP}tts")
    await redis.hset("unacked", "tag", json.dumps([{}, "tasks", key]))

    assert (await broker.count("tts")).unacked == 0


words = st.lists(st.sampled_from(["a", "b", "", "a-b", "*", "#"]), min_size=1, max_size=6)


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@given(binding=words, routing=st.lists(st.sampled_from(["a", "b", "", "a-b"]), min_size=1, max_size=7))
def test_topics_match_as_in_kombu(binding: list[str], routing: list[str]) -> None:
    exchange = TopicExchange(None)  # type: ignore[no-untyped-call]
    pattern = cast("str", exchange.key_to_pattern(".".join(binding)))  # type: ignore[no-untyped-call]
    expected = exchange._match(pattern, ".".join(routing)) is not None  # type: ignore[no-untyped-call]

    assert topic_matches(".".join(binding), ".".join(routing)) == expected
