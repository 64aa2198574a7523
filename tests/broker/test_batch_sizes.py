"""How much is read and moved at once depends on the sizes of messages, never on the depth."""

import json
import tracemalloc

import pytest
from redis.asyncio import Redis

from queue_recovery.broker.connection.batches import MOST_BYTES, PageSize, fitting
from queue_recovery.recovery.ports import Run
from tests.broker.application import recovery, selecting
from tests.broker.conftest import Connect, on_one_server

pytestmark = pytest.mark.thorough

MIB = 2**20


def envelope(number: int, *, padding: int, queue: str = "tts") -> bytes:
    """Return a message, every third of which is of the task `tts.render`."""
    headers = {"id": f"job-{number}", "task": "tts.index" if number % 3 else "tts.render"}
    properties = {"delivery_info": {"exchange": "", "routing_key": queue}}
    return json.dumps({"body": "x" * padding, "headers": headers, "properties": properties}).encode()


async def fill(redis: Redis, *, messages: int, entries: int, padding: int) -> None:
    for first in range(0, messages, 500):
        await redis.lpush("tts", *(envelope(n, padding=padding) for n in range(first, min(messages, first + 500))))
    for n in range(entries):
        queue = "tts" if n % 2 else "mail"
        entry = b'[%b, "", "%b"]' % (envelope(n, padding=padding, queue=queue), queue.encode())
        await redis.hset("unacked", f"tag-{n}", entry)


def test_a_batch_has_no_more_entries_and_bytes_than_it_may_and_at_least_one() -> None:
    assert fitting([1] * 1000) == 100
    assert fitting([MOST_BYTES // 4] * 10) == 4
    assert fitting([MOST_BYTES * 2] * 10) == 1
    assert fitting([]) == 0


def test_a_read_asks_for_as_many_entries_as_fit_by_the_size_of_the_last_ones() -> None:
    page, asked = PageSize(), []
    for size in (10, 10_000, 2 * MIB, 100):
        asked.append(page.entries)
        page.note([size] * page.entries)

    assert asked == [10, 100, 26, 1]
    assert page.entries == 100


@on_one_server
@pytest.mark.parametrize("run", [recovery("tts"), selecting(tasks=["tts.render"])], ids=["whole", "selected"])
async def test_memory_is_the_same_at_any_depth(connect: Connect, redis: Redis, run: Run) -> None:
    peaks = []
    for depth in (500, 5000):
        await redis.flushdb()
        await fill(redis, messages=depth, entries=depth // 5, padding=1000)
        broker = connect()
        await broker.run(run).open()
        tracemalloc.start()
        try:
            await broker.count("tts", select=run.select)
            await broker.queued_task_ids(["job-1"], "tts")
            await broker.run(run).take()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    assert peaks[1] < 1.3 * peaks[0]


@on_one_server
async def test_memory_is_bounded_by_bytes_when_messages_are_large(connect: Connect, redis: Redis) -> None:
    await fill(redis, messages=40, entries=40, padding=MIB)
    broker, run = connect(), selecting(tasks=["tts.render"])
    await broker.run(run).open()
    tracemalloc.start()
    try:
        await broker.run(run).take()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    # The first read of a list, or of the hash, does not know yet.
    assert peak < 40 * MIB
