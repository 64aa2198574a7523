"""Any messages restored, wherever the operator dies: each is in the queue or in the quarantine, in order."""

import asyncio
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.client import Word
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Restored, Run
from tests.broker.application import SEP, Application, recovery, restoring
from tests.broker.conftest import Connect, on_one_server
from tests.broker.dying import dying, sends_twice

pytestmark = pytest.mark.thorough

LATER = datetime(2030, 1, 1, tzinfo=UTC)
KEYS = {0: "tts", 3: f"tts{SEP}3", 9: f"tts{SEP}9"}
STEPS = {0: 0, 2: 0, 3: 3, 5: 3, 9: 9, 200: 9}
"""Priorities that applications ask for, and the lists that kombu puts them into."""

Wanted = dict[str, bool]
"""Messages by their ids, and whether they go back."""

flags = st.lists(st.booleans(), max_size=12).flatmap(lambda few: st.integers(1, 12).map(lambda n: few * n))
"""Long lists are repeated short ones: hypothesis makes none by itself."""

one_attempt = st.tuples(st.fixed_dictionaries(dict.fromkeys(KEYS, flags)), flags)
attempts = st.lists(one_attempt, min_size=1, max_size=2)
deaths = st.lists(st.integers(0, 30), max_size=5)
pushes = st.sampled_from([0, 1, 130])
"""How many messages a producer pushes after each script."""

many = settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def message(name: str, priority: int = 0) -> bytes:
    body = {"headers": {"id": name, "task": "t"}, "properties": {"priority": priority}, "body": "x" * 99}
    return json.dumps(body).encode()


def name_of(envelope: bytes) -> str:
    return str(json.loads(envelope)["headers"]["id"])


class Fixture:
    """The quarantine of a recovery, a producer that goes on, and what has to become of them."""

    def __init__(self, redis: Redis, attempts: Sequence[tuple[Mapping[int, list[bool]], list[bool]]]) -> None:
        self.redis = redis
        self.attempts = attempts
        self.run = recovery("tts")
        self.order: dict[int, list[bytes]] = {priority: [] for priority in KEYS}
        """All messages of a list, in the order in which they would have been consumed."""
        self.goes: Wanted = {}
        self.newer: list[bytes] = []

    async def purge(self, broker: RedisBroker) -> None:
        """Have every attempt's messages taken by a recovery, which then ends."""
        await self.redis.flushdb()
        await broker.run(self.run).open()
        for attempt, (lists, held) in enumerate(self.attempts, 1):
            pipeline = self.redis.pipeline()
            for n, goes in enumerate(held):
                asked = list(STEPS)[n % len(STEPS)]
                envelope = message(f"{attempt}-held-{n}", asked)
                self._note(envelope, STEPS[asked], goes=goes)
                pipeline.hset("unacked", f"tag-{attempt}-{n}", b' [ %s, "", "tts"]' % envelope)
                pipeline.zadd("unacked_index", {f"tag-{attempt}-{n}": 1000.0 + n})
            for priority, flags in lists.items():
                envelopes = [message(f"{attempt}-{priority}-{n}") for n in range(len(flags))]
                for envelope, goes in zip(envelopes, flags, strict=True):
                    self._note(envelope, priority, goes=goes)
                if envelopes:
                    pipeline.lpush(KEYS[priority], *envelopes)
            await pipeline.execute()
            await broker.run(self.run).take(attempt=attempt)
        await broker.run(self.run).close()
        await broker.run(self.run).release(expires=LATER, retain=True)

    def _note(self, envelope: bytes, priority: int, *, goes: bool) -> None:
        self.order[priority].append(envelope)
        self.goes[name_of(envelope)] = goes

    def some(self) -> Run:
        """Return a recovery that puts those back that go."""
        return restoring(self.run, task_ids=[name for name, goes in self.goes.items() if goes] or ["none"])

    def producing(self, broker: RedisBroker, count: int) -> RedisBroker:
        """Push messages after each script of a restore."""
        script = broker.database.client.script

        async def then_produce(text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
            answer = await script(text, keys, arguments)
            if count and len(self.newer) < 500:
                fresh = [message(f"newer-{len(self.newer) + n}") for n in range(count)]
                await self.redis.lpush("tts", *fresh)
                self.newer += fresh
            return answer

        broker.database.client.script = then_produce  # type: ignore[method-assign]
        return broker

    async def queued(self, priority: int) -> list[bytes]:
        """Return a list of the queue, the next one first, without what the producer pushed, which has to come last."""
        found = cast("list[bytes]", await self.redis.lrange(KEYS[priority], 0, -1))[::-1]
        if priority == 0:
            assert found[len(found) - len(self.newer) :] == self.newer
            return found[: len(found) - len(self.newer)]
        return found

    async def quarantined(self) -> dict[int, list[bytes]]:
        """Return what is in the quarantine, in the order in which it would be consumed."""
        left: dict[int, list[bytes]] = {priority: [] for priority in KEYS}
        for attempt in range(1, len(self.attempts) + 1):
            prefix = f"queuerecovery.dev:quarantine:{self.run.uid}:{attempt}"
            entries = cast("dict[bytes, bytes]", await self.redis.hgetall(f"{prefix}:unacked"))
            tags = cast("list[bytes]", await self.redis.zrange(f"{prefix}:unacked_index", 0, -1))
            assert set(tags) == entries.keys()
            for tag in tags:
                envelope = entries[tag].removeprefix(b" [ ").removesuffix(b', "", "tts"]')
                left[STEPS[json.loads(envelope)["properties"]["priority"]]].append(envelope)
            for priority in KEYS:
                left[priority] += cast("list[bytes]", await self.redis.lrange(f"{prefix}:ready:{priority}", 0, -1))[
                    ::-1
                ]
        assert not await self.redis.keys("*:left:*")
        return left

    async def check(self, restored: Restored, went: Collection[str]) -> None:
        """Compare the server with what has to have become of everything, when these messages went back."""
        left = await self.quarantined()
        for priority, envelopes in self.order.items():
            assert await self.queued(priority) == [one for one in envelopes if name_of(one) in went]
            assert left[priority] == [one for one in envelopes if name_of(one) not in went]
        assert restored == Restored(restored=len(went), left=len(self.goes) - len(went))


@on_one_server
@many
@given(made=attempts, trips=deaths, pushed=pushes)
async def test_putting_back_a_part_dies_anywhere_and_conserves_everything_and_then_the_rest_follows(
    connect: Connect,
    redis: Redis,
    made: list[tuple[dict[int, list[bool]], list[bool]]],
    trips: list[int],
    pushed: int,
) -> None:
    fixture = Fixture(redis, made)
    await fixture.purge(connect())
    run, broker = fixture.some(), fixture.producing(sends_twice(connect()), pushed)

    for count in trips:
        with dying(broker, count):
            await broker.run(run).open()
            await broker.run(run).restore()
    await broker.run(run).open()
    restored = await broker.run(run).restore()

    await fixture.check(restored, [name for name, goes in fixture.goes.items() if goes])
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)
    rest, quiet = restoring(fixture.run), connect()
    await redis.delete(*KEYS.values())
    fixture.newer = []
    await quiet.run(rest).open()
    assert (await quiet.run(rest).restore()).left == 0
    for priority, envelopes in fixture.order.items():
        assert await fixture.queued(priority) == [one for one in envelopes if not fixture.goes[name_of(one)]]


@on_one_server
@many
@given(made=attempts, trips=st.lists(st.integers(2, 30), min_size=1, max_size=3), last=deaths, pushed=pushes)
async def test_an_ending_half_way_makes_visible_what_was_brought_and_leaves_the_rest(
    connect: Connect,
    redis: Redis,
    made: list[tuple[dict[int, list[bool]], list[bool]]],
    trips: list[int],
    last: list[int],
    pushed: int,
) -> None:
    fixture = Fixture(redis, made)
    await fixture.purge(connect())
    run, broker = restoring(fixture.run), fixture.producing(sends_twice(connect()), pushed)
    for count in trips:
        with dying(broker, count):
            await broker.run(run).open()
            await broker.run(run).restore()

    for count in last:
        with dying(broker, count):
            await broker.run(run).close()
    closed = await broker.run(run).close()

    went = [name_of(one) for priority in KEYS for one in await fixture.queued(priority)]
    await fixture.check(closed.restored or Restored(restored=0, left=len(fixture.goes)), went)
    for late in (broker.run(run).restore, broker.run(run).open):
        with pytest.raises(RecoveryError, match="AlreadyClosed"):
            await late()


BIG = [
    ({0: [True, False, True] * 40, 3: [], 9: [True] * 110}, [True, False] * 60),
    ({0: [True, False], 3: [False] * 2, 9: [True] * 30}, [True] * 40),
]


@on_one_server
async def test_a_death_after_any_command_loses_nothing_and_doubles_nothing(connect: Connect, redis: Redis) -> None:
    outlived, trips = False, 0
    while not outlived:
        trips += 1
        fixture = Fixture(redis, BIG)
        await fixture.purge(connect())
        run, broker = fixture.some(), fixture.producing(connect(), 70)
        with dying(broker, trips) as death:
            await broker.run(run).open()
            await broker.run(run).restore()
        outlived = not death
        if trips % 2:
            closed = await broker.run(run).close()
            went = [name_of(one) for priority in KEYS for one in await fixture.queued(priority)]
            left = await fixture.quarantined()
            assert sorted([*went, *(name_of(one) for of in left.values() for one in of)]) == sorted(fixture.goes)
            for priority in KEYS:
                came = [name_of(one) for one in await fixture.queued(priority)]
                assert came == [one for one in map(name_of, fixture.order[priority]) if one in set(came)]
            assert closed.restored is None or closed.restored.restored == len(went)
        else:
            await broker.run(run).open()
            restored = await broker.run(run).restore()
            await fixture.check(restored, [name for name, goes in fixture.goes.items() if goes])
    assert trips > 50


async def test_two_operators_at_once_keep_the_order(connect: Connect, redis: Redis) -> None:
    fixture = Fixture(redis, BIG)
    await fixture.purge(connect())
    run = fixture.some()
    one, other = connect(), connect()
    await one.run(run).open()

    answers = await asyncio.gather(*(broker.run(run).restore() for broker in (one, other, one, other)))

    assert len(set(answers)) == 1
    await fixture.check(answers[0], [name for name, goes in fixture.goes.items() if goes])


@pytest.mark.parametrize("call", ["values", "lrange"])
async def test_an_operator_that_was_paused_before_a_batch_moves_nothing_when_it_wakes(
    connect: Connect, redis: Redis, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    fixture = Fixture(redis, BIG)
    await fixture.purge(connect())
    run, late, other = fixture.some(), connect(), connect()
    await late.run(run).open()
    original = getattr(late.database.client, call)

    async def paused(*arguments: str) -> list[bytes]:
        stale: list[bytes] = await original(*arguments)
        if call == "lrange" or len(arguments[1]) > 10:
            monkeypatch.undo()
            await other.run(run).restore()
            await other.run(run).close()
        return stale

    monkeypatch.setattr(late.database.client, call, paused)
    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await late.run(run).restore()

    went = [name for name, goes in fixture.goes.items() if goes]
    await fixture.check(Restored(restored=len(went), left=len(fixture.goes) - len(went)), went)


async def test_an_operator_whose_batch_was_moved_by_another_skips_nothing(
    connect: Connect, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = Fixture(redis, [({0: [True], 3: [], 9: []}, [True] * 350)])
    await fixture.purge(connect())
    run, late, other = fixture.some(), connect(), connect()
    await late.run(run).open()
    by_rank = late.database.client.by_rank

    async def paused(key: str, first: int, last: int) -> list[bytes]:
        monkeypatch.undo()
        stale = await by_rank(key, first, last)
        with dying(other, 6) as death:  # two records, a length, a portion, its entries, and its batch
            await other.run(run).restore()
        assert death
        return stale

    monkeypatch.setattr(late.database.client, "by_rank", paused)

    await fixture.check(await late.run(run).restore(), list(fixture.goes))


async def test_workers_that_live_meanwhile_get_what_comes_back_in_its_order(
    connect: Connect, application: Application
) -> None:
    run, broker = recovery("tts"), connect()
    for n in range(450):
        application.send("tts", f"m{n:03}", priority=0)
    application.hold("tts", 50)
    await broker.run(run).open()
    await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)
    application.disappear()
    script, undo = broker.database.client.script, restoring(run)
    ran: list[str] = []

    async def then_work(text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
        answer = await script(text, keys, arguments)
        application.send("tts", f"newer-{len(ran)}")
        ran.extend(application.consume("tts"))
        return answer

    broker.database.client.script = then_work  # type: ignore[method-assign]
    await broker.run(undo).open()
    await broker.run(undo).restore()

    assert [name for name in ran if name.startswith("m")] == [f"m{n:03}" for n in range(450)]
    assert len(ran) == len(set(ran))


async def test_a_quarantine_that_vanished_while_it_was_sorted_is_lost_and_said_so(
    connect: Connect, redis: Redis
) -> None:
    fixture = Fixture(redis, BIG)
    await fixture.purge(connect())
    run, broker = fixture.some(), connect()
    await broker.run(run).open()
    with dying(broker, 40):
        await broker.run(run).restore()
    await redis.delete(*await redis.keys(f"*quarantine:{fixture.run.uid}:*"))

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).restore()
