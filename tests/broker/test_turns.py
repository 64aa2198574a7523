"""What somebody else has written never holds the event loop: other recoveries, and the lease, get their turns."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from itertools import pairwise
from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.health import consumers
from queue_recovery.broker.connection.values import LARGEST
from queue_recovery.broker.layout import bindings
from queue_recovery.broker.layout.bindings import topic_matches
from queue_recovery.broker.layout.envelope import LONGEST_NAME, read_json
from queue_recovery.recovery.ports import Run
from tests.broker.application import SEP
from tests.broker.conftest import on_one_server

pytestmark = pytest.mark.thorough

LONGEST_TURN = 0.05
"""Seconds of the processor that one portion may take."""

HASHES = ".".join("#" * 128)
"""The longest binding of them that AMQP knows."""

DOTS = "a" + "." * (LONGEST_NAME - 1)
"""A routing key of as many words as there are."""


async def longest_turn(work: Callable[[], Awaitable[object]]) -> float:
    """Do something and return the most processor time that it took between two turns of the event loop.

    Not the time on the wall: this machine has other work too.
    """
    turns: list[float] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(0)
            turns.append(process_time())

    # Nor the time for the garbage of all other tests.
    gc.collect()
    gc.freeze()
    watching = asyncio.ensure_future(watch())
    await asyncio.sleep(0)
    try:
        await work()
    finally:
        turns.append(process_time())
        watching.cancel()
        gc.unfreeze()
    return max(after - before for before, after in pairwise(turns))


async def test_a_binding_of_2000_hashes_and_long_routing_keys_hold_nobody_up(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    for part in ("#", "*"):
        await redis.sadd("_kombu.binding.tasks", f"{'.'.join(part * 2000)}.b{SEP}x{SEP}tts")
    for n in range(6):
        await redis.hset("unacked", f"tag-{n}", json.dumps([{}, "tasks", "a." * 5000 + str(n)]))
    await broker.run(run).open()

    longest = await longest_turn(lambda: broker.run(run).take())

    assert longest < LONGEST_TURN
    assert (await broker.run(run).take()).undecodable == 6


@on_one_server
async def test_ten_thousand_bindings_hold_nobody_up(broker: RedisBroker, redis: Redis) -> None:
    await redis.sadd("_kombu.binding.tasks", *(f"{HASHES[:-6]}.{n}{SEP}x{SEP}tts" for n in range(10_000)))
    await redis.hset("unacked", mapping={f"tag-{n}": json.dumps([{}, "tasks", DOTS[:-4] + str(n)]) for n in range(10)})

    longest = await longest_turn(lambda: broker.count("tts"))

    assert longest < LONGEST_TURN


@on_one_server
async def test_a_look_at_a_thousand_entries_that_are_slow_to_parse_holds_nobody_up(
    broker: RedisBroker, redis: Redis
) -> None:
    tags = {f"tag-{n}": float(n) for n in range(1000)}
    await redis.hset("unacked", mapping=dict.fromkeys(tags, json.dumps([{}, "", '"' * 3000])))
    await redis.zadd("unacked_index", tags)

    longest = await longest_turn(lambda: broker.unacked(["tts"]))

    assert longest < LONGEST_TURN
    assert (await broker.unacked(["tts"])).not_counted == 1000


async def test_bindings_that_are_too_many_to_be_kept_are_read_again(
    broker: RedisBroker, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bindings, "_MOST_CACHED", 10)
    monkeypatch.setattr(bindings, "_MOST_ROUTES", 1)
    await redis.sadd("_kombu.binding.tasks", *(f"key.{n}{SEP}{SEP}tts" for n in range(30)))
    await redis.sadd("_kombu.binding.few", f"key{SEP}{SEP}tts")
    routes = [("tasks", f"key.{n}") for n in range(40)] + [("few", "key"), ("few", "other")]
    await redis.hset("unacked", mapping={str(n): json.dumps([{}, *route]) for n, route in enumerate(routes)})

    assert (await broker.count("tts")).unacked == 31


@pytest.mark.parametrize("length", [LONGEST_NAME, LONGEST_NAME + 1])
async def test_names_are_as_long_as_amqps_and_what_is_routed_by_longer_ones_is_of_no_queue(
    broker: RedisBroker, redis: Redis, length: int
) -> None:
    await redis.sadd("_kombu.binding.tasks", f"#{SEP}x{SEP}tts")
    await redis.hset("unacked", "by key", json.dumps([{}, "tasks", "k" * length]))
    await redis.sadd("_kombu.binding." + "e" * length, f"#{SEP}x{SEP}tts")
    await redis.hset("unacked", "by exchange", json.dumps([{}, "e" * length, "k"]))

    count = await broker.count("tts")

    assert (count.unacked, count.undecodable) == ((2, 0) if length == LONGEST_NAME else (0, 2))


@pytest.mark.parametrize("binding", [HASHES, f"{HASHES[:-2]}.b", "*." * 127 + "*", "#.a." * 63 + "b", "#"])
def test_matching_takes_no_longer_than_reading_the_names(binding: str) -> None:
    keys = [DOTS, "a." * 127 + "a", "a" * LONGEST_NAME]
    began = process_time()

    for key in keys * 100:
        topic_matches(binding, key)

    assert process_time() - began < 0.06


WORDS = st.lists(st.sampled_from(["a", "b", "", "*", "#"]), min_size=1, max_size=12)


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@given(binding=WORDS, routing=WORDS)
def test_matching_gives_what_trying_every_way_does(binding: list[str], routing: list[str]) -> None:
    def tries(parts: list[str], words: list[str]) -> bool:
        if not parts or not words:
            return not parts and not words
        if parts[0] == "#":
            return any(tries(parts[1:], words[n:]) for n in range(1, len(words) + 1))
        return (parts[0] == words[0] or (parts[0] == "*" and words[0] != "")) and tries(parts[1:], words[1:])

    assert topic_matches(".".join(binding), ".".join(routing)) == tries(binding, routing)


def _json_of_much_structure() -> Iterator[bytes]:
    half = LARGEST // 4
    yield b"[" + b"{}," * half + b"0]"
    yield b"[" + b"{}," * half + b"NaN]"
    yield b'["' + b"\\u0041" * (LARGEST // 6) + b'",NaN]'
    yield b'{"body": "' + b"x" * (LARGEST - 100) + b'", "headers": {}, "properties": NaN}'
    yield b"[" + b"1" * (LARGEST - 10) + b"]"
    yield b"[" + b"[" * (LARGEST - 10)
    yield b'[{"a":' * 10_000 + b"NaN"


@pytest.mark.parametrize("number", range(7))
def test_no_message_takes_long_to_read(number: int) -> None:
    text = list(_json_of_much_structure())[number]
    began = process_time()

    read_json(text)

    assert process_time() - began < LONGEST_TURN


async def test_a_list_of_ten_thousand_connections_holds_nobody_up() -> None:
    line = b"id=4 addr=10.1.0.7:50708 name= age=91 idle=0 flags=N db=3 " + b"x=y " * 20 + b"cmd=brpop age=9\n"

    longest = await longest_turn(lambda: consumers(line * 10_000, 3))

    assert longest < LONGEST_TURN
