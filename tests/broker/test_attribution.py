"""Which queue's messages workers hold, and for how long, at a cost that does not grow with `unacked`."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.values import Indexed
from queue_recovery.broker.inspection.attribution import affordable, delivery_time
from queue_recovery.recovery.ports import Held, Unacked
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, everything
from tests.broker.test_commands_sent import watched
from tests.broker.test_large_messages import entry

MIB = 2**20
NOBODY = Held(count=0, since=None)


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


async def hold(redis: Redis, *entries: bytes, since: float = 1700000000, apart: float = 1) -> None:
    """Put entries into `unacked` and its index as a worker does, the oldest first."""
    number = await redis.hlen("unacked")
    tags = [f"tag-{number + n}" for n in range(len(entries))]
    await redis.hset("unacked", items=[part for pair in zip(tags, entries, strict=True) for part in pair])
    await redis.zadd("unacked_index", {tag: since + n * apart for n, tag in enumerate(tags)})


def routes(queue: str, count: int, exchange: str = "") -> Sequence[bytes]:
    return [json.dumps([{}, exchange, queue]).encode()] * count


async def test_what_kombus_workers_hold_is_counted_for_each_queue_with_the_time_of_the_first_delivery(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.enqueue("tts", "a", "b", "c")
    application.enqueue("others", "d")
    application.bind("mail", "letters", "topic", "letter.*")
    application.publish("letters", "letter.urgent", "e", "f")
    application.hold("tts", 2)
    application.hold("others", 1)
    application.hold("mail", 2)
    first: dict[str, float] = {}
    for tag, value in (await redis.hgetall("unacked")).items():
        delivered = await redis.zscore("unacked_index", tag)
        assert delivered is not None
        key = json.loads(value)[2]
        first[key] = min(delivered, first.get(key, delivered))
    before = await everything(redis)

    found = await broker.unacked(["tts", "mail", "empty"])

    assert found == Unacked(
        total=5,
        queues={
            "tts": Held(count=2, since=at(first["tts"])),
            "mail": Held(count=2, since=at(first["letter.urgent"])),
            "empty": NOBODY,
        },
        not_counted=0,
    )
    assert await everything(redis) == before


async def test_of_many_the_oldest_are_read_and_the_status_can_say_how_many_are_not(
    broker: RedisBroker, redis: Redis
) -> None:
    await hold(redis, *routes("mail", 1500), since=1700005000)
    await hold(redis, *routes("tts", 10), since=1700000000)

    assert await broker.unacked(["tts", "mail"]) == Unacked(
        total=1510,
        queues={"tts": Held(count=10, since=at(1700000000)), "mail": Held(count=990, since=at(1700005000))},
        not_counted=510,
    )


async def test_a_look_costs_no_more_commands_and_bytes_however_much_there_is(
    broker: RedisBroker, redis: Redis, server: Server
) -> None:
    """Messages, bindings and routes are as many as a tenant writes."""
    await redis.sadd("_kombu.binding.huge", *(f"k{n}{SEP}{SEP}q{n}" for n in range(20_000)))
    entries = [json.dumps([{"body": "x" * 2000}, "huge", f"k{n}"]).encode() for n in range(3000)]
    for first in range(0, 3000, 500):
        await hold(redis, *entries[first : first + 500], since=1700000000 + first)
    await broker.unacked(["tts"])

    async with watched(server, redis) as sent:
        found = await broker.unacked(["tts"])

    assert (found.total, found.not_counted) == (3000, 3000)
    assert len(sent.direct) < 50
    by_scripts = [words[0].upper() for words in sent.by_scripts]
    assert by_scripts.count("HGET") <= 1000
    assert by_scripts.count("SSCAN") <= 10


async def test_the_index_is_listed_from_its_oldest_member_on_and_no_further_than_its_bytes_allow(
    broker: RedisBroker, redis: Redis, server: Server
) -> None:
    await hold(redis, *routes("tts", 50))
    await redis.zadd("unacked_index", {f"{n}" * 20_000: 1700000050 + n for n in range(10, 1000)})

    async with watched(server, redis) as sent:
        total, listed = await broker.database.client.oldest("unacked_index", "unacked", 1000)

    assert total == 50
    assert [entry.field for entry in listed] == [f"tag-{n}".encode() for n in range(50)]
    assert [entry.score for entry in listed] == [1700000000.0 + n for n in range(50)]
    assert [words[0].upper() for words in sent.by_scripts].count("ZREVRANGE") <= 4


async def test_a_long_index_is_listed_in_portions_between_which_the_server_answers_others(
    broker: RedisBroker, redis: Redis, server: Server
) -> None:
    await hold(redis, *routes("tts", 700))

    async with watched(server, redis) as sent:
        total, listed = await broker.database.client.oldest("unacked_index", "unacked", 600)

    assert total == 700
    assert [entry.field for entry in listed] == [f"tag-{n}".encode() for n in range(600)]
    assert [words[0].upper() for words in sent.by_scripts].count("HSTRLEN") == 600
    assert len([words for words in sent.direct if words[0].upper().startswith("EVAL")]) == 3


async def test_what_is_not_known_of_one_exchange_hides_no_message_of_the_default_one(
    broker: RedisBroker, redis: Redis
) -> None:
    await redis.sadd("_kombu.binding.huge", *(f"k{n}{SEP}{SEP}q{n}" for n in range(20_000)))
    await hold(redis, *routes("k1", 3, exchange="huge"), *routes("tts", 2))

    found = await broker.unacked(["tts"])

    assert (found.queues["tts"].count, found.not_counted) == (2, 3)


async def test_no_more_routes_are_matched_than_a_look_may_afford(broker: RedisBroker, redis: Redis) -> None:
    await redis.sadd("_kombu.binding.jobs", f"job.*{SEP}^job\\..*?${SEP}tts")
    each_its_own = [json.dumps([{}, "jobs", f"job.{n}"]).encode() for n in range(150)]
    await hold(redis, *each_its_own)

    found = await broker.unacked(["tts"])

    assert (found.queues["tts"].count, found.not_counted) == (100, 50)


async def test_of_large_entries_no_more_than_their_ends_are_sent_and_the_largest_are_not_touched(
    broker: RedisBroker, redis: Redis
) -> None:
    await hold(redis, entry("large", size=MIB), entry("larger", size=5 * MIB), entry("small", routing_key="mail"))
    before = (await redis.info("stats"))["total_net_output_bytes"]

    found = await broker.unacked(["tts", "mail"])

    assert (await redis.info("stats"))["total_net_output_bytes"] - before < MIB / 2
    assert {queue: held.count for queue, held in found.queues.items()} == {"tts": 1, "mail": 1}
    assert found.not_counted == 1


@pytest.mark.parametrize("name", ['"\\' * 63, "\x01" * 85, "ü" * 127])
async def test_the_longest_names_are_read_however_they_are_escaped(
    broker: RedisBroker, redis: Redis, name: str
) -> None:
    await redis.sadd(f"_kombu.binding.{name}", f"{name}{SEP}{SEP}tts")
    await hold(redis, entry("a", size=MIB, exchange=name, routing_key=name))

    assert (await broker.unacked(["tts"])).queues["tts"].count == 1


async def test_what_cannot_be_read_or_is_in_no_index_is_not_counted(broker: RedisBroker, redis: Redis) -> None:
    await hold(redis, *routes("tts", 1), b"no entry", b"")
    await redis.hset("unacked", "in no index", routes("tts", 1)[0])
    await redis.zadd("unacked_index", {"left behind": 1, "x" * 2000: 2})
    await redis.hset("unacked", "x" * 2000, routes("tts", 1)[0])

    found = await broker.unacked(["tts"])

    assert found == Unacked(total=5, queues={"tts": Held(count=1, since=at(1700000000))}, not_counted=4)


@pytest.mark.parametrize("keys", [["unacked"], ["unacked_index"], ["unacked", "unacked_index"]])
async def test_keys_of_another_type_have_no_entries(broker: RedisBroker, redis: Redis, keys: list[str]) -> None:
    await hold(redis, *routes("tts", 2))
    for key in keys:
        await redis.set(key, "another type")

    found = await broker.unacked(["tts"])

    assert found.queues == {"tts": NOBODY}
    assert found.total == found.not_counted == (0 if "unacked" in keys else 2)


async def test_a_copy_that_may_be_of_several_queues_counts_once(broker: RedisBroker, redis: Redis) -> None:
    await redis.sadd("_kombu.binding.copies", f"all{SEP}{SEP}tts", f"all{SEP}{SEP}mail")
    await hold(redis, *routes("all", 1, exchange="copies"))

    found = await broker.unacked(["tts", "mail"])

    assert {queue: held.count for queue, held in found.queues.items()} == {"tts": 0, "mail": 1}


@pytest.mark.parametrize("score", [float("inf"), float("-inf"), -5, 0, 1e300, float(10**12)])
async def test_a_score_that_no_clock_has_written_is_no_time(broker: RedisBroker, redis: Redis, score: float) -> None:
    await hold(redis, *routes("tts", 1))
    await redis.hset("unacked", "odd", routes("tts", 1)[0])
    await redis.zadd("unacked_index", {"odd": score})

    assert (await broker.unacked(["tts"])).queues["tts"] == Held(count=2, since=at(1700000000))
    assert delivery_time(score) is None


def test_a_look_reads_16_mib_at_most_and_skips_what_is_too_large_to_be_a_message() -> None:
    sizes = [4 * MIB, 4 * MIB + 1, 4 * MIB, 4 * MIB, 4 * MIB, 1]
    entries = [Indexed(b"%d" % n, 0.0, size) for n, size in enumerate(sizes)]

    assert [one.field for one in affordable(entries)] == [b"0", b"2", b"3", b"4"]
