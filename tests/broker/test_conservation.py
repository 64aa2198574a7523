"""With any content of the broker and any death of the operator, nothing is lost, doubled, or taken from others."""

import json
from collections import Counter
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Run
from tests.broker.application import SEP, everything, recovery, tasks
from tests.broker.conftest import Connect, on_one_server
from tests.broker.dying import dying, sends_twice

pytestmark = pytest.mark.thorough

QUEUES = ["tts", "mail", "tts2"]

Messages = list[tuple[str, int]]
Entries = list[tuple[str, str, bool]]

ready = st.lists(st.tuples(st.sampled_from(QUEUES), st.sampled_from([0, 3, 5, 9])), max_size=30)
"""Queue and priority of each."""
unacked = st.lists(
    st.tuples(st.sampled_from(["", "tasks", "unbound"]), st.sampled_from([*QUEUES, "speech.now"]), st.booleans()),
    max_size=250,
)
"""Exchange, routing key, and whether the time of its delivery is there."""
deaths = st.lists(st.integers(0, 25), max_size=6)
"""After how many commands each attempt dies."""

many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


async def fill(redis: Redis, messages: Messages, entries: Entries) -> None:
    """Put these messages and entries into an empty database, and a binding of `tts` to exchange `tasks`."""
    await redis.flushdb()
    await redis.sadd("_kombu.binding.tasks", f"speech.*{SEP}^speech\\.[^\\.]+${SEP}tts")
    for n, (queue, priority) in enumerate(messages):
        message = json.dumps({"body": f"message {n}", "properties": {}})
        await redis.lpush(f"{queue}{SEP}{priority}" if priority else queue, message)
    for n, (exchange, routing_key, timed) in enumerate(entries):
        await redis.hset("unacked", f"tag-{n}", json.dumps([{"n": n, "pad": "x" * 99}, exchange, routing_key]))
        if timed:
            await redis.zadd("unacked_index", {f"tag-{n}": 1_700_000_000.5 + n})


def split(state: dict[bytes, object]) -> tuple[dict[bytes, object], dict[bytes, object]]:
    """Part a state into what is the queue's (lists as they are, entries with their times) and the rest."""
    ours: dict[bytes, object] = {}
    rest: dict[bytes, object] = {}
    times = dict(cast("list[tuple[bytes, float]]", state.pop(b"unacked_index", [])))
    entries = cast("dict[bytes, bytes]", state.pop(b"unacked", {}))
    for key, value in state.items():
        (ours if key == b"tts" or key.startswith(f"tts{SEP}".encode()) else rest)[key] = value
    for tag, entry in entries.items():
        _, exchange, routing_key = json.loads(entry)
        mine = routing_key == "tts" if exchange == "" else (exchange, routing_key) == ("tasks", "speech.now")
        (ours if mine else rest)[b"unacked " + tag] = (entry, times.get(tag))
    return ours, rest


def quarantined(state: dict[bytes, object], run: Run) -> dict[bytes, object]:
    """Return what is in the quarantine, under the names that it had before."""
    prefix = f"queuerecovery.dev:quarantine:{run.uid}:1:".encode()
    mine = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    times = dict(cast("list[tuple[bytes, float]]", mine.pop(b"unacked_index", [])))
    found: dict[bytes, object] = {
        b"unacked " + tag: (entry, times.get(tag))
        for tag, entry in cast("dict[bytes, bytes]", mine.pop(b"unacked", {})).items()
    }
    for ending, value in mine.items():
        priority = ending.removeprefix(b"ready:")
        found[b"tts" if priority == b"0" else f"tts{SEP}".encode() + priority] = value
    return found


async def until_done(broker: RedisBroker, run: Run, trips: list[int]) -> None:
    """Open and take, dying after each of these numbers of commands, and starting again."""
    for count in trips:
        with dying(broker, count):
            await broker.run(run).open()
            await broker.run(run).take()
    await broker.run(run).open()
    await broker.run(run).take()


@on_one_server
@many
@given(messages=ready, entries=unacked, trips=deaths)
async def test_taking_moves_all_of_the_queue_and_nothing_else(
    connect: Connect, redis: Redis, messages: Messages, entries: Entries, trips: list[int]
) -> None:
    await fill(redis, messages, entries)
    ours, rest = split(dict(await everything(redis)))
    run, broker = recovery("tts"), sends_twice(connect())

    await until_done(broker, run, trips)

    left, others = split(dict(await everything(redis, without=["queuerecovery.dev:"])))
    assert left == {}
    assert others == rest
    assert quarantined(dict(await everything(redis)), run) == ours
    taken = await broker.run(run).take()
    lists = [value for value in ours.values() if isinstance(value, list)]
    assert (taken.ready, taken.unacked) == (sum(map(len, lists)), len(ours) - len(lists))


@on_one_server
@many
@given(
    messages=ready, entries=unacked, trips=st.lists(st.integers(0, 12), min_size=1, max_size=4), last=st.integers(0, 9)
)
async def test_closing_before_the_boundary_puts_everything_back_where_it_was(
    connect: Connect, redis: Redis, messages: Messages, entries: Entries, trips: list[int], last: int
) -> None:
    await fill(redis, messages, entries)
    before = await everything(redis)
    run, broker = recovery("tts"), sends_twice(connect())

    for count in trips:
        with dying(broker, count):
            await broker.run(run).open()
            await broker.run(run).take()
    passed = await passed_boundary(redis, run)
    with dying(broker, last):
        await broker.run(run).close()
    closed = await broker.run(run).close()

    assert closed.was_purged == passed
    if not passed:
        assert await everything(redis, without=["queuerecovery.dev:run:", "queuerecovery.dev:lock:"]) == before


async def passed_boundary(redis: Redis, run: Run) -> bool:
    return await redis.hget(f"queuerecovery.dev:run:{run.uid}", "state") == b"purged"


@on_one_server
@many
@given(trips=deaths, size=st.integers(1, 5))
async def test_every_job_is_enqueued_once_however_often_pushing_dies(
    connect: Connect, redis: Redis, trips: list[int], size: int
) -> None:
    await redis.flushdb()
    run, broker, jobs = recovery("tts"), sends_twice(connect()), tasks(7)
    await broker.run(run).open()
    await broker.run(run).take()

    for count in [*trips, 10**6]:
        with dying(broker, count):
            for first in range(0, len(jobs), size):
                await broker.run(run).push({run.queue: jobs[first : first + size]})

    messages = cast("list[bytes]", await redis.lrange("tts", 0, -1))
    assert Counter(json.loads(m)["headers"]["id"] for m in messages) == Counter(job.task_id for job in jobs)
    assert await broker.run(run).pushed() == {job.key for job in jobs}


@on_one_server
async def test_a_death_after_any_command_of_taking_or_closing_loses_nothing(connect: Connect, redis: Redis) -> None:
    entries = [("", queue, True) for queue in QUEUES] * 75
    messages = [("tts", 0), ("tts", 9), ("mail", 0)]
    outlived = False
    trips = 0
    while not outlived:
        trips += 1
        await fill(redis, messages, entries)
        before = await everything(redis)
        ours, rest = split(dict(before))
        run, broker = recovery("tts"), connect()
        with dying(broker, trips) as death:
            await broker.run(run).open()
            await broker.run(run).take()
            await broker.run(run).close()
        outlived = not death
        closed = await broker.run(run).close()
        state = await everything(redis, without=["queuerecovery.dev:run:", "queuerecovery.dev:lock:"])
        if closed.was_purged:
            assert split(dict(await everything(redis, without=["queuerecovery.dev:"]))) == ({}, rest)
            assert quarantined(dict(state), run) == ours
        else:
            assert state == before
    assert trips > 12
