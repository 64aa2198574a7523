"""The broker loses a list of the quarantine while it is sorted: that is said, counted, and prevents no ending."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.run.script import run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Closed, Restored, Run
from tests.broker.application import SEP, everything, recovery, restoring, selecting
from tests.broker.conftest import Connect
from tests.broker.dying import dying, dying_at, sends_twice

LATER = datetime(2030, 1, 1, tzinfo=UTC)
KEYS = {0: "tts", 3: f"tts{SEP}3"}
EACH = 104
"""Messages of each list, which take two batches; every other one is selected."""

Lose = Callable[[Redis, str], Awaitable[object]]


async def delete(redis: Redis, key: str) -> None:
    await redis.delete(key)


async def trim_the_head(redis: Redis, key: str) -> None:
    await redis.ltrim(key, 3, -1)


async def trim_the_tail(redis: Redis, key: str) -> None:
    await redis.ltrim(key, 0, -4)


async def trim_to_one(redis: Redis, key: str) -> None:
    await redis.ltrim(key, 0, 0)


LOSSES = pytest.mark.parametrize("lose", [delete, trim_the_head, trim_the_tail], ids=lambda one: one.__name__)


class Fixture:
    """Two lists of a queue that are being sorted, by a purge or by a restore, and what the broker has lost of them."""

    def __init__(self, redis: Redis, run: Run, earlier: Run) -> None:
        self.redis = redis
        self.run = run
        self.earlier = earlier
        self.total = EACH * len(KEYS)
        self.lost = 0
        self.in_order = True

    @classmethod
    async def purging(cls, redis: Redis, connect: Connect) -> "Fixture":
        """Open a recovery of a part of the queue."""
        await cls._fill(redis)
        run = selecting(min_retries=1)
        await connect().run(run).open()
        return cls(redis, run, run)

    @classmethod
    async def restoring(cls, redis: Redis, connect: Connect) -> "Fixture":
        """Open a recovery that puts a part of what another one has taken back."""
        await cls._fill(redis)
        broker, earlier = connect(), selecting(tasks=["tts.render"])
        await broker.run(earlier).open()
        await broker.run(earlier).take()
        await broker.run(earlier).close()
        await broker.run(earlier).release(expires=LATER, retain=True)
        run = restoring(earlier, task_ids=[f"{priority}-{n}" for priority in KEYS for n in range(0, EACH, 2)])
        await broker.run(run).open()
        return cls(redis, run, earlier)

    @staticmethod
    async def _fill(redis: Redis) -> None:
        await redis.flushdb()
        for priority, key in KEYS.items():
            await redis.lpush(key, *(_message(f"{priority}-{n}", n % 2) for n in range(EACH)))

    async def sort(self, broker: RedisBroker) -> None:
        """Take the messages, or put them back."""
        run = broker.run(self.run)
        await (run.take() if self.run.restore is None else run.restore())

    def quarantined(self, priority: int = 0) -> str:
        """Return the key of a list of the quarantine."""
        return f"queuerecovery.dev:quarantine:{self.earlier.uid}:1:ready:{priority}"

    def going(self, priority: int = 0) -> str:
        """Return the key of what goes back."""
        return f"queuerecovery.dev:quarantine:{self.run.uid}:1:left:{priority}"

    async def sorted_now(self) -> list[str]:
        """Return the keys of the lists that are not sorted yet, and of those that are not back in the queue yet."""
        record = cast("dict[bytes, bytes]", await self.redis.hgetall(f"queuerecovery.dev:run:{self.run.uid}"))
        keys: list[str] = []
        for field, unsorted in record.items():
            if field.startswith(b"unsorted:"):
                keys += [] if unsorted == b"0" else [self.quarantined(int(field[-1:]))]
                keys.append(self.going(int(field[-1:])))
        return [key for key in keys if await self.redis.exists(key)]

    async def lose(self, key: str, lose: Lose = delete) -> None:
        """Let the broker lose a list, or a part of it."""
        before = await self.redis.llen(key)
        await lose(self.redis, key)
        self.lost += before - await self.redis.llen(key)
        self.in_order = lose is not trim_the_head

    async def check(self, closed: Closed) -> None:
        """Compare what a closed run says with what is there."""
        queue, quarantine = [
            sum([await self.redis.llen(key(priority)) for priority in KEYS])
            for key in (KEYS.__getitem__, self.quarantined)
        ]
        assert closed.lost == self.lost
        if self.run.restore is None:
            assert closed.taken is not None
            assert (closed.taken.ready, closed.taken.left) == (quarantine, queue)
        else:
            assert closed.restored == Restored(restored=queue, left=quarantine)
        assert queue + quarantine + self.lost == self.total
        assert not await self.redis.keys("*:left:*")
        for key in [*KEYS.values(), *(map(self.quarantined, KEYS) if self.in_order else [])]:
            found = [_number(one) for one in cast("list[bytes]", await self.redis.lrange(key, 0, -1))]
            assert found == sorted(found, reverse=True), key


def _message(name: str, retries: int) -> bytes:
    headers = {"id": name, "task": "tts.render", "retries": retries}
    return json.dumps({"body": "", "headers": headers, "properties": {}}).encode()


def _number(message: bytes) -> int:
    return int(json.loads(message)["headers"]["id"].partition("-")[2])


Kind = Callable[[Redis, Connect], Awaitable[Fixture]]
KINDS = pytest.mark.parametrize("kind", [Fixture.purging, Fixture.restoring], ids=["purge", "restore"])


async def end(broker: RedisBroker, run: Run) -> Closed:
    closed = await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)
    assert await broker.run(run).close() == closed
    assert await broker.holders("tts") == {}
    return closed


async def write_off(broker: RedisBroker, fixture: Fixture) -> list[bytes]:
    """Send the script for the list of priority 0."""
    keys = [f"queuerecovery.dev:run:{fixture.run.uid}", fixture.quarantined(), fixture.going()]
    fields = [f"{counter}:1:ready:0" for counter in ("unsorted", "taken", "left")]
    return await run_script(broker.database, Script.WRITE_OFF, keys, [fixture.run.uid, *fields])


@KINDS
@LOSSES
async def test_a_list_that_is_missing_while_it_is_sorted_is_said_to_be_lost_and_its_run_is_closed(
    connect: Connect, redis: Redis, kind: Kind, lose: Lose
) -> None:
    fixture, broker = await kind(redis, connect), sends_twice(connect())
    with dying_at(broker, Script.SORT, 2):
        await fixture.sort(broker)
    (listed, *_) = await fixture.sorted_now()
    await fixture.lose(listed, lose)

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await fixture.sort(broker)

    await fixture.check(await end(broker, fixture.run))
    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await fixture.sort(broker)


@KINDS
@LOSSES
async def test_messages_that_are_missing_when_they_go_back_are_said_to_be_lost_and_the_run_is_closed(
    connect: Connect, redis: Redis, kind: Kind, lose: Lose
) -> None:
    fixture, broker = await kind(redis, connect), sends_twice(connect())
    with dying_at(broker, Script.REJOIN):
        await fixture.sort(broker)
    await fixture.lose(next(key for key in await fixture.sorted_now() if ":left:" in key), lose)

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await fixture.sort(broker)

    await fixture.check(await end(broker, fixture.run))


@KINDS
async def test_whichever_list_is_lost_between_any_two_commands_the_ending_comes_to_its_end(
    connect: Connect, redis: Redis, kind: Kind
) -> None:
    met, outlived, trips = set(), False, 2
    while not outlived:
        trips += 1
        number, keys = 0, [""]
        while number < len(keys):
            fixture, broker = await kind(redis, connect), connect()
            with dying(broker, trips) as death:
                await fixture.sort(broker)
            outlived = not death
            keys = await fixture.sorted_now()
            if number < len(keys):
                await fixture.lose(keys[number])
                met.add(keys[number].split(":")[-2:][0])
            closed = await end(broker, fixture.run)
            if closed.was_purged:
                await fixture.check(closed)
            number += 1
    assert met == {"ready", "left"}
    assert trips > 8


@KINDS
@pytest.mark.parametrize("number", [0, 1], ids=["what is sorted", "what goes back"])
async def test_an_ending_that_dies_at_any_command_writes_off_once(
    connect: Connect, redis: Redis, kind: Kind, number: int
) -> None:
    outlived, trips = False, 0
    while not outlived:
        trips += 1
        fixture, broker = await kind(redis, connect), sends_twice(connect())
        with dying_at(broker, Script.SORT, 2):
            await fixture.sort(broker)
        await fixture.lose((await fixture.sorted_now())[number])

        with dying(broker, trips) as death:
            await broker.run(fixture.run).close()
        outlived = not death

        await fixture.check(await end(broker, fixture.run))
    assert trips > 12


@KINDS
async def test_what_is_lost_while_the_ending_sorts_is_written_off_by_the_same_ending(
    connect: Connect, redis: Redis, kind: Kind
) -> None:
    fixture, broker = await kind(redis, connect), connect()
    with dying_at(broker, Script.SORT):
        await fixture.sort(broker)
    send, scripts = broker.database.client.script, []

    async def script(text: str, keys: list[str], arguments: list[str]) -> list[bytes]:
        scripts.append(text)
        if len(scripts) in {2, 5, 8}:
            for key in keys[1:2]:
                if ":quarantine:" in key:
                    await fixture.lose(key)
        return await send(text, keys, arguments)

    broker.database.client.script = script  # type: ignore[method-assign,assignment]

    await fixture.check(await end(broker, fixture.run))
    assert fixture.lost


@KINDS
async def test_two_endings_at_once_write_off_once(connect: Connect, redis: Redis, kind: Kind) -> None:
    fixture, one, other = await kind(redis, connect), connect(), connect()
    with dying_at(one, Script.SORT, 2):
        await fixture.sort(one)
    for key in await fixture.sorted_now():
        await fixture.lose(key)

    closed = await asyncio.gather(*(broker.run(fixture.run).close() for broker in (one, other, one, other)))

    assert len(set(closed)) == 1
    await fixture.check(closed[0])


async def test_messages_of_several_attempts_that_are_missing_when_they_go_back_are_all_counted(
    connect: Connect, redis: Redis
) -> None:
    await redis.flushdb()
    broker, earlier = connect(), recovery("tts")
    await broker.run(earlier).open()
    for attempt in (1, 2):
        await redis.lpush("tts", *(_message(f"{attempt}-{n}", 0) for n in range(5)))
        await broker.run(earlier).take(attempt=attempt)
    await broker.run(earlier).close()
    await broker.run(earlier).release(expires=LATER, retain=True)
    run = restoring(earlier)
    await broker.run(run).open()
    with dying_at(broker, Script.REJOIN, 2):
        await broker.run(run).restore()
    await redis.delete(f"queuerecovery.dev:quarantine:{run.uid}:1:left:0")

    closed = await end(broker, run)

    assert (closed.lost, closed.restored) == (10, Restored(restored=0, left=0))


async def test_a_late_write_off_of_a_list_that_is_back_changes_nothing(connect: Connect, redis: Redis) -> None:
    fixture, broker = await Fixture.purging(redis, connect), connect()
    with dying_at(broker, Script.SORT, 2):
        await fixture.sort(broker)
    await broker.run(fixture.run).close()
    before = await everything(redis)

    assert await write_off(broker, fixture) == [b"OK"]

    assert await everything(redis) == before


@pytest.mark.parametrize("lose", [delete, trim_to_one], ids=lambda one: one.__name__)
async def test_a_count_that_another_client_has_changed_prevents_no_ending(
    connect: Connect, redis: Redis, lose: Lose
) -> None:
    fixture, broker = await Fixture.purging(redis, connect), connect()
    with dying_at(broker, Script.SORT, 2):
        await fixture.sort(broker)
    await lose(redis, fixture.quarantined())
    await redis.hset(f"queuerecovery.dev:run:{fixture.run.uid}", "taken:1:ready:0", "0")

    await end(broker, fixture.run)


@KINDS
async def test_a_full_server_lets_what_is_lost_be_written_off(connect: Connect, redis: Redis, kind: Kind) -> None:
    fixture, broker = await kind(redis, connect), connect()
    with dying_at(broker, Script.SORT, 2):
        await fixture.sort(broker)
    await fixture.lose((await fixture.sorted_now())[0])
    try:
        await redis.config_set("maxmemory", 1)
        closed = await end(broker, fixture.run)
    finally:
        await redis.config_set("maxmemory", 0)

    await fixture.check(closed)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [("complete", "0", "BrokerLostData"), ("state", "closed", "AlreadyClosed"), ("uid", "another", "BrokerLostData")],
    ids=["not being closed", "closed", "another's"],
)
async def test_nothing_is_written_off_of_a_run_that_is_not_being_closed(
    connect: Connect, redis: Redis, field: str, value: str, error: str
) -> None:
    fixture, broker = await Fixture.purging(redis, connect), connect()
    with dying_at(broker, Script.SORT, 2):
        await fixture.sort(broker)
    await fixture.lose(fixture.quarantined())
    await broker.run(fixture.run).refuse()
    record = f"queuerecovery.dev:run:{fixture.run.uid}"
    await redis.hset(record, field, value)
    before = await redis.hgetall(record)

    with pytest.raises(RecoveryError, match=error):
        await write_off(broker, fixture)

    assert await redis.hgetall(record) == before
