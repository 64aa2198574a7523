"""The broker loses a list of the quarantine while it is sorted: that is said, counted, and prevents no ending."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.run.script import run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Closed, Restored, Run
from tests.broker.application import everything, recovery, restoring
from tests.broker.conftest import Connect, on_one_server
from tests.broker.dying import dying, dying_at, sends_twice
from tests.broker.losing import LATER, Fixture, Lose, delete, message, trim_the_head, trim_the_tail, trim_to_one

pytestmark = pytest.mark.thorough

LOSSES = pytest.mark.parametrize("lose", [delete, trim_the_head, trim_the_tail], ids=lambda one: one.__name__)


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


@on_one_server
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


@on_one_server
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
        await redis.lpush("tts", *(message(f"{attempt}-{n}", 0) for n in range(5)))
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
