"""Any selection, wherever the operator dies: what is left comes back once, in order, before newer messages."""

import asyncio
import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.connection.values import Value
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run
from tests.broker.application import SEP, Application, everything, recovery, seen_jobs, selecting
from tests.broker.conftest import Connect, on_one_server
from tests.broker.dying import dying, dying_at, sends_twice

pytestmark = pytest.mark.thorough

KEYS = {0: "tts", 3: f"tts{SEP}3", 9: f"tts{SEP}9"}

Lists = dict[int, list[int]]
"""The retries of each message, by priority; those that were retried are taken."""

retries = st.lists(st.integers(0, 2), max_size=20).flatmap(lambda few: st.integers(1, 15).map(lambda n: few * n))
"""Long lists are repeated short ones: hypothesis makes none by itself."""

lists = st.fixed_dictionaries(dict.fromkeys(KEYS, retries))
entries = retries
deaths = st.lists(st.integers(0, 25), max_size=5)
pushes = st.sampled_from([0, 1, 60, 130])
"""How many messages a producer pushes after each script."""

WAYS = {"selection": lambda: selecting(min_retries=1), "jobs": lambda: recovery("tts")}
"""Messages are left because they are not selected, or because they are of listed jobs that are not enqueued."""

ways = st.sampled_from([*WAYS])

many = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def message(name: str, retries: int) -> bytes:
    headers = {"id": name, "retries": retries}
    return json.dumps({"body": "x" * 99, "headers": headers, "properties": {}}).encode()


class Fixture:
    """A queue of these messages, a producer that goes on, and what has to become of them."""

    def __init__(self, redis: Redis, made: Lists, held: list[int]) -> None:
        self.redis = redis
        self.lists = {p: [message(f"{p}-{n}", one) for n, one in enumerate(of)] for p, of in made.items()}
        self.held = {f"tag-{n}".encode(): message(f"held-{n}", retries) for n, retries in enumerate(held)}
        self.newer: list[bytes] = []

    async def fill(self) -> None:
        await self.redis.flushdb()
        for priority, messages in self.lists.items():
            if messages:
                await self.redis.rpush(KEYS[priority], *messages)
        for tag, envelope in self.held.items():
            await self.redis.hset("unacked", tag, b'[%s, "", "tts"]' % envelope)

    async def open(self, broker: RedisBroker, run: Run) -> None:
        """Open a run; one without a selection lists the messages that are left as jobs that are not enqueued."""
        await broker.run(run).open()
        if run.select is None:
            made = [*self.lists.values(), self.held.values()]
            left = [json.loads(one)["headers"]["id"] for of in made for one in of if _retries(one) == 0]
            await broker.run(run).freeze({run.queue: seen_jobs(*left, recoverable=False)})
        else:
            await broker.run(run).freeze({run.queue: seen_jobs("0-0", "held-0")})

    async def produce(self, count: int) -> None:
        late = [message(f"newer-{len(self.newer) + n}", n) for n in range(count)]
        if late:
            await self.redis.lpush("tts", *late)
        self.newer += late

    def producing(self, broker: RedisBroker, count: int) -> RedisBroker:
        """Push messages after each script that comes after the boundary."""
        script = broker.database.client.script

        async def then_produce(text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
            answer = await script(text, keys, arguments)
            if "sorted yet" in text and self.newer_allowed(text):
                await self.produce(count)
            return answer

        broker.database.client.script = then_produce  # type: ignore[method-assign]
        return broker

    def newer_allowed(self, text: str) -> bool:
        """Tell whether a producer still pushes: while lists are sorted, and a little while they are brought back."""
        return "RENAMENX" not in text or len(self.newer) < 500

    async def check(self, run: Run) -> None:
        """Compare the server with what has to have become of everything."""
        prefix = f"queuerecovery.dev:quarantine:{run.uid}:1:"
        for priority, messages in self.lists.items():
            left = [one for one in messages if _retries(one) == 0]
            newer = self.newer[::-1] if priority == 0 else []
            assert await self.redis.lrange(KEYS[priority], 0, -1) == newer + left
            taken = [one for one in messages if _retries(one)]
            assert await self.redis.lrange(f"{prefix}ready:{priority}", 0, -1) == taken
        stay = {tag for tag, envelope in self.held.items() if _retries(envelope) == 0}
        assert set(await self.redis.hkeys("unacked")) == stay
        assert set(await self.redis.hkeys(f"{prefix}unacked")) == self.held.keys() - stay
        assert not await self.redis.keys("*:left:*")


def _retries(envelope: bytes) -> int:
    return int(json.loads(envelope)["headers"]["retries"])


@on_one_server
@many
@given(made=lists, held=entries, trips=deaths, pushed=pushes, by=ways)
async def test_taking_a_part_dies_anywhere_and_conserves_everything(
    connect: Connect, redis: Redis, made: Lists, held: list[int], trips: list[int], pushed: int, by: str
) -> None:
    fixture = Fixture(redis, made, held)
    await fixture.fill()
    run, broker = WAYS[by](), fixture.producing(sends_twice(connect()), pushed)

    for count in trips:
        with dying(broker, count):
            await fixture.open(broker, run)
            await broker.run(run).take()
    await fixture.open(broker, run)
    taken = await broker.run(run).take()

    await fixture.check(run)
    found = sum(map(len, made.values())) + len(held)
    assert taken.ready + taken.unacked + taken.left == found
    firsts = {f"{name}-0" for name, of in (("0", made[0]), ("held", held)) if of[:1] == [0]}
    assert taken.left_ids >= firsts
    assert run.select is None or taken.left_ids == firsts


@on_one_server
@many
@given(made=lists, trips=st.lists(st.integers(3, 25), min_size=1, max_size=3), last=deaths, pushed=pushes, by=ways)
async def test_an_ending_after_the_boundary_finishes_giving_back_what_is_left(
    connect: Connect, redis: Redis, made: Lists, trips: list[int], last: list[int], pushed: int, by: str
) -> None:
    fixture = Fixture(redis, made, [])
    await fixture.fill()
    before = await everything(redis)
    run, broker = WAYS[by](), fixture.producing(sends_twice(connect()), pushed)
    for count in trips:
        with dying(broker, count):
            await fixture.open(broker, run)
            await broker.run(run).take()

    for count in last:
        with dying(broker, count):
            await broker.run(run).close()
    closed = await broker.run(run).close()

    if closed.taken is None:
        assert await everything(redis, without=["queuerecovery.dev:"]) == before
    else:
        await fixture.check(run)
        assert closed.taken.ready + closed.taken.left == sum(map(len, made.values()))


@on_one_server
async def test_a_death_after_any_command_loses_nothing_and_doubles_nothing(connect: Connect, redis: Redis) -> None:
    outlived, trips = False, 0
    while not outlived:
        trips += 1
        fixture = Fixture(redis, {0: [0, 1, 1] * 100, 3: [0] * 120, 9: [1] * 120}, [0, 1] * 60)
        await fixture.fill()
        run, broker = selecting(min_retries=1), fixture.producing(connect(), 70)
        with dying(broker, trips) as death:
            await broker.run(run).open()
            await broker.run(run).take()
        outlived = not death
        if trips % 2 and (await broker.run(run).close()).was_purged:
            await fixture.check(run)
        elif trips % 2 == 0:
            await broker.run(run).open()
            await broker.run(run).take()
            await fixture.check(run)
    assert trips > 25


async def test_two_operators_at_once_keep_the_order(connect: Connect, redis: Redis) -> None:
    fixture = Fixture(redis, {0: [0, 1, 1] * 400, 3: [1, 0] * 200, 9: []}, [0, 1] * 30)
    await fixture.fill()
    run = selecting(min_retries=1)
    one, other = connect(), connect()
    await one.run(run).open()

    answers = await asyncio.gather(*(broker.run(run).take() for broker in (one, other, one, other)))

    assert len(set(answers)) == 1
    await fixture.check(run)


async def test_an_operator_that_was_paused_before_a_batch_moves_nothing_when_it_wakes(
    connect: Connect, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixture = Fixture(redis, {0: [0, 1, 1] * 100, 3: [], 9: []}, [])
    await fixture.fill()
    run, late, other = selecting(min_retries=1), connect(), connect()
    await late.run(run).open()
    lrange = late.database.client.lrange

    async def paused(key: str, first: int, last: int) -> list[Value]:
        monkeypatch.undo()
        stale = await lrange(key, first, last)
        await other.run(run).take()
        await other.run(run).close()
        return stale

    monkeypatch.setattr(late.database.client, "lrange", paused)
    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await late.run(run).take()

    await fixture.check(run)


async def test_workers_that_live_at_an_ending_get_what_is_left_in_its_order(
    connect: Connect, application: Application
) -> None:
    for n in range(450):
        application.send("tts", f"m{n:03}", retries=n % 2)
    run, broker = selecting(min_retries=1), connect()
    await broker.run(run).open()
    with dying_at(broker, Script.SORT, 2):
        await broker.run(run).take()
    script = broker.database.client.script
    ran: list[str] = []

    async def then_consume(text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
        answer = await script(text, keys, arguments)
        ran.extend(application.consume("tts"))
        return answer

    broker.database.client.script = then_consume  # type: ignore[method-assign]
    await broker.run(run).close()

    assert ran == [f"m{n:03}" for n in range(0, 450, 2)]


async def test_a_list_that_vanished_while_it_was_sorted_is_lost_and_said_so(connect: Connect, redis: Redis) -> None:
    fixture = Fixture(redis, {0: [0, 1] * 100, 3: [], 9: []}, [])
    await fixture.fill()
    run, broker = selecting(min_retries=1), connect()
    await broker.run(run).open()
    with dying_at(broker, Script.SORT):
        await broker.run(run).take()
    await redis.delete(f"queuerecovery.dev:quarantine:{run.uid}:1:ready:0")

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).take()


async def test_a_key_of_another_type_in_the_queues_place_is_left_alone_until_it_is_gone(
    connect: Connect, redis: Redis
) -> None:
    fixture = Fixture(redis, {0: [0, 1] * 100, 3: [], 9: []}, [])
    await fixture.fill()
    run, broker = selecting(min_retries=1), connect()
    await broker.run(run).open()
    with dying_at(broker, Script.SORT):
        await broker.run(run).take()
    await redis.set("tts", "somebody else's")

    for step in (broker.run(run).take, broker.run(run).close):
        with pytest.raises(RecoveryError, match="WrongKeyType"):
            await step()
    assert await redis.get("tts") == b"somebody else's"
    await redis.delete("tts")
    await broker.run(run).close()

    await fixture.check(run)
