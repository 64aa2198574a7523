"""How much is read and moved at once depends on sizes and on how fast the server is, never on the depth."""

import json
import tracemalloc
from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from queue_recovery.broker.connection import batches
from queue_recovery.broker.connection.batches import MOST_BYTES, BatchBudget, PageSize
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.recovery.ports import Run
from tests.broker.application import recovery, selecting
from tests.broker.conftest import Connect

MIB = 2**20


class Clock:
    """A clock that only advances by what is added to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(batches, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


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


def test_a_slow_script_halves_the_next_batch_and_quick_ones_double_it_again(clock: Clock) -> None:
    budget = BatchBudget(round_trip=0.2)

    sizes = []
    for seconds in (0.001, 0.011, 0.011, 0.004, 0.001, 0.001, *[0.011] * 9):
        with budget.timed():
            clock.now += 0.2 + seconds
        sizes.append((budget.entries, budget.size))

    assert sizes[:6] == [(100, MOST_BYTES), *((n, MOST_BYTES * n // 100) for n in (50, 25, 25, 50, 100))]
    assert sizes[-1] == sizes[-2] == (6, MOST_BYTES // 16)


def test_a_batch_has_no_more_entries_and_bytes_than_it_may_and_at_least_one() -> None:
    budget = BatchBudget(round_trip=0)

    assert budget.fitting([1] * 1000) == 100
    assert budget.fitting([MOST_BYTES // 4] * 10) == 4
    assert budget.fitting([MOST_BYTES * 2] * 10) == 1
    assert budget.fitting([]) == 0


def test_a_read_asks_for_as_many_entries_as_fit_by_the_size_of_the_last_ones() -> None:
    page, asked = PageSize(), []
    for size in (10, 10_000, 2 * MIB, 100):
        asked.append(page.entries)
        page.note([size] * page.entries)

    assert asked == [10, 100, 26, 1]
    assert page.entries == 100


async def test_a_server_that_takes_long_gets_smaller_batches_and_loses_none(
    connect: Connect, redis: Redis, clock: Clock
) -> None:
    await fill(redis, messages=900, entries=1800, padding=10)
    broker, run = connect(), selecting(tasks=["tts.render"])
    script, held = broker.database.client.script, {Script.SORT: [0], Script.MOVE_UNACKED: [0]}

    async def slow(text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
        for kind, sizes in held.items():
            if text == text_of(kind):
                sizes.append(len(str(arguments[6])) if kind is Script.SORT else len(arguments) - 5)
                clock.now += 0.001 * sizes[-1]
        return await script(text, keys, arguments)

    broker.database.client.script = slow  # type: ignore[method-assign]
    await broker.run(run).open()
    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked, taken.left) == (300, 300, 1200)
    assert held[Script.MOVE_UNACKED][1] == 100
    assert max(held[Script.MOVE_UNACKED][5:]) <= 6
    assert max(held[Script.SORT][6:]) <= 6


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
