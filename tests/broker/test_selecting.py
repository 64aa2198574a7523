"""Taking a part of a queue: what is left stays in its place and order, byte for byte."""

import json
from typing import cast

import pytest
from redis.asyncio import Redis

from queue_recovery.api.select import PurgeSelect
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.run.selection import Selection
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Closed, Taken
from tests.broker.application import SEP, Application, everything, seen_jobs, selecting
from tests.broker.conftest import Connect
from tests.broker.dying import sends_twice


async def take(broker: RedisBroker, **select: object) -> Taken:
    """Do all of a selective purge; return what it took."""
    run = selecting(**select)
    await broker.run(run).open()
    return await broker.run(run).take()


async def test_what_is_left_stays_in_its_order_and_its_bytes_in_the_list_of_its_priority(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    for n in range(250):
        application.send("tts", f"m{n}", task="tts.render" if n % 3 else "tts.index", priority=9 if n % 2 else 0)
    before = await everything(redis)

    taken = await take(sends_twice(broker), tasks=["tts.index"])

    state = await everything(redis)
    total = {b"tts": 0, f"tts{SEP}9".encode(): 9}
    for key, priority in total.items():
        was = cast("list[bytes]", before[key])
        match = [json.loads(message)["headers"]["task"] == "tts.index" for message in was]
        assert state[key] == [message for message, ours in zip(was, match, strict=True) if not ours]
        quarantined = state[f"{taken.quarantine}:1:ready:{priority}".encode()]
        assert quarantined == [message for message, ours in zip(was, match, strict=True) if ours]
    assert (taken.ready, taken.unacked, taken.left) == (84, 0, 166)
    assert not await redis.keys("*:left:*")


@pytest.mark.parametrize(
    "body",
    [("json", None), ("pickle", None), ("yaml", None), ("json", "zlib"), ("pickle", "bzip2")],
    ids=["json", "pickle", "yaml", "zlib", "pickle and bzip2"],
)
async def test_messages_are_selected_by_their_headers_with_any_body(
    broker: RedisBroker, application: Application, redis: Redis, body: tuple[str, str | None]
) -> None:
    serializer, compression = body
    for name, task in (("a", "tts.render"), ("b", "tts.index"), ("c", "tts.render"), ("d", "tts.index")):
        application.send("tts", name, task=task, serializer=serializer, compression=compression)
    application.hold("tts", 2)
    before = await everything(redis)

    taken = await take(broker, tasks=["tts.render"])

    assert (taken.ready, taken.unacked, taken.left) == (1, 1, 2)
    (left,) = cast("list[bytes]", await redis.lrange("tts", 0, -1))
    assert left in cast("list[bytes]", before[b"tts"])
    assert application.consume("tts") == ["d"]


async def test_entries_of_unacked_that_stay_are_not_moved_whichever_exchange_routed_them(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.bind("tts", "tasks", "topic", "speech.#")
    application.bind("tts", "named", "direct", "render")
    application.bind("tts", "news", "fanout", "")
    for exchange, routing_key in (("", "tts"), ("tasks", "speech.now"), ("named", "render"), ("news", "")):
        application.send(routing_key, f"{exchange} stays", exchange=exchange, task="tts.index")
        application.send(routing_key, f"{exchange} goes", exchange=exchange)
    held = len(application.hold("tts", 6))
    entries = cast("dict[bytes, bytes]", await redis.hgetall("unacked"))
    stay = {tag: entry for tag, entry in entries.items() if b"stays" in entry}
    times = dict(cast("list[tuple[bytes, float]]", await redis.zrange("unacked_index", 0, -1, withscores=True)))

    taken = await take(broker, tasks=["tts.render"])

    assert await redis.hgetall("unacked") == stay
    assert await redis.hgetall(f"{taken.quarantine}:1:unacked") == {t: e for t, e in entries.items() if t not in stay}
    left = dict(cast("list[tuple[bytes, float]]", await redis.zrange("unacked_index", 0, -1, withscores=True)))
    assert left == {tag: times[tag] for tag in stay}
    assert taken.unacked + len(stay) == held


async def test_what_cannot_be_read_matches_nothing_and_is_left_where_it_was(broker: RedisBroker, redis: Redis) -> None:
    odd = [b"no JSON", b"", b"[]", b"null", b'{"headers": "tts.render"}', b"\x80\x04 pickle", b'{"body": ""}']
    await redis.rpush("tts", *odd, b'{"body": "", "headers": {"retries": 3}, "properties": {}}')
    await redis.hset("unacked", "tag", b'["{\\"headers\\"", "", "tts"]')

    taken = await take(broker, min_retries=1)

    assert await redis.lrange("tts", 0, -1) == odd
    assert (taken.ready, taken.unacked, taken.left, taken.undecodable) == (1, 0, len(odd) + 1, 0)


HEADERS = {"id": "one", "task": "tts.render", "retries": 3}


@pytest.mark.parametrize(
    ("select", "message", "matches"),
    [
        ({"tasks": ["tts.index", "tts.render"]}, {"headers": HEADERS}, True),
        ({"tasks": ["tts.index"]}, {"headers": HEADERS}, False),
        ({"task_ids": ["one"]}, {"headers": HEADERS}, True),
        ({"task_ids": ["two"]}, {"headers": HEADERS}, False),
        ({"min_retries": 3}, {"headers": HEADERS}, True),
        ({"min_retries": 4}, {"headers": HEADERS}, False),
        ({"tasks": ["tts.render"], "min_retries": 4}, {"headers": HEADERS}, False),
        ({"tasks": ["tts.render"], "min_retries": 3, "task_ids": ["one"]}, {"headers": HEADERS}, True),
        ({"min_retries": 1}, {"headers": {"retries": True}}, False),
        ({"min_retries": 1}, {"headers": {"retries": "3"}}, False),
        ({"min_retries": 1}, {"headers": {"retries": None}}, False),
        ({"tasks": ["tts.render"]}, {"headers": {"task": ["tts.render"]}}, False),
        ({"task_ids": ["one"]}, {"headers": {}, "properties": {"correlation_id": "one"}}, True),
        ({"task_ids": ["one"]}, {"properties": {"correlation_id": "one"}}, False),
        ({"tasks": ["tts.render"]}, {"headers": {}}, False),
        ({"tasks": ["tts.render"]}, None, False),
        ({}, None, True),
    ],
)
def test_fields_are_joined_by_and_and_words_of_a_list_by_or(
    select: dict[str, object], message: object, *, matches: bool
) -> None:
    assert Selection(PurgeSelect.model_validate(select) if select else None).matches(message) == matches


async def test_a_plan_counts_what_would_be_left_and_changes_nothing(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    for n in range(5):
        application.send("tts", f"m{n}", retries=n)
    application.hold("tts", 2)
    before = await everything(redis)
    select = PurgeSelect(min_retries=3)

    count = await broker.count("tts", select=select, jobs=seen_jobs("m1", "m2", "m4", "m9").values())

    assert (count.ready, count.unacked, count.leave) == (3, 2, 3)
    assert count.left_ids == {"m1", "m2"}
    assert await everything(redis) == before


async def test_task_ids_of_listed_jobs_whose_message_is_left_are_told_and_stay_known(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    for n in range(4):
        application.send("tts", f"m{n}", retries=n % 2)
    application.hold("tts", 2)
    run = selecting(min_retries=1)
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: seen_jobs("m0", "m1", "m2", "m9")})

    taken = await broker.run(run).take()

    assert taken.left_ids == {"m0", "m2"}
    await redis.delete("tts", "unacked")
    assert await broker.run(run).take() == taken
    seen = frozenset(seen_jobs("m0", "m1", "m2", "m9"))
    assert await broker.run(run).close() == Closed(purged=frozenset({"tts"}), taken=taken, seen=seen)


async def test_copies_that_another_queue_shares_stop_nothing_when_they_stay(
    broker: RedisBroker, application: Application
) -> None:
    application.bind("tts", "tasks", "direct", "both")
    application.bind("archive", "tasks", "direct", "both")
    application.send("both", "copied", exchange="tasks")
    application.hold("tts", 1)

    assert (await broker.count("tts", select=PurgeSelect(min_retries=1))).leave == 1
    assert (await take(broker, min_retries=1)).left == 1
    with pytest.raises(RecoveryError, match="SharedRoute"):
        await broker.count("tts", select=PurgeSelect(tasks=["tts.render"]))


async def test_messages_larger_than_a_batch_are_sorted_one_by_one(broker: RedisBroker, redis: Redis) -> None:
    def message(n: int, size: int) -> bytes:
        return json.dumps({"headers": {"retries": n % 2}, "body": str(n) * size, "properties": {}}).encode()

    large = [message(n, 300_000) for n in range(7)]
    small = [message(n, 1) for n in range(7)]
    await redis.rpush("tts", *large, *small)

    taken = await take(broker, min_retries=1)

    assert await redis.lrange("tts", 0, -1) == large[0::2] + small[0::2]
    assert (taken.ready, taken.left) == (6, 8)


async def test_a_queue_that_was_taken_twice_counts_as_left_what_the_last_attempt_left(
    broker: RedisBroker, application: Application
) -> None:
    application.send("tts", "a", retries=1)
    application.send("tts", "b")
    run = selecting(min_retries=1)
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: seen_jobs("b", "c")})
    await broker.run(run).take()
    application.send("tts", "c")
    application.send("tts", "d", retries=1)

    taken = await broker.run(run).take(attempt=2)

    assert (taken.ready, taken.left, set(taken.left_ids)) == (2, 2, {"b", "c"})
    assert application.consume("tts") == ["b", "c"]


async def test_a_full_server_lets_a_part_of_a_queue_be_taken(
    connect: Connect, application: Application, redis: Redis
) -> None:
    broker, run = connect(), selecting(min_retries=1)
    for n in range(250):
        application.send("tts", f"m{n}", retries=n % 2)
    await broker.run(run).open()
    try:
        await redis.config_set("maxmemory", 1)
        taken = await broker.run(run).take()
    finally:
        await redis.config_set("maxmemory", 0)

    assert (taken.ready, taken.left, await redis.llen("tts")) == (125, 125, 125)
