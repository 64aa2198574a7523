"""The commands that a person runs to get quarantined messages back do what they say, sent by `redis-cli` itself."""

import shutil

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Run
from sandbox.broker import Broker as Server
from sandbox.processes import Scope
from tests.broker.application import Application, everything, recovery

pytestmark = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not on PATH")


async def by_hand(scope: Scope, server: Server, command: str) -> None:
    """Run a shell command as a person would."""
    shell = await scope.start("by-hand", ["sh", "-c", command], environment={"BROKER_URL": server.url})
    assert await shell.wait() == 0, shell.end_of_log()
    assert shell.end_of_log() == ""


async def test_messages_come_out_next_in_the_order_that_they_had(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", *(f"held-{n}" for n in range(120)), "first", "second", "third")
    application.enqueue("tts", "low-1", "low-2", priority=9)
    application.hold("tts", 120)
    await broker.open(run)
    taken = await broker.take(run)
    await broker.close(run)
    application.disappear()
    application.enqueue("tts", "came later")
    application.enqueue("tts", "low later", priority=9)
    commands = await broker.commands_to_put_back(run)
    assert len(commands) == 3

    for command in commands:
        await by_hand(scope, server, command)

    assert not await redis.keys(f"{taken.quarantine}*")
    assert application.consume("tts") == ["first", "second", "third", "came later", "low-1", "low-2", "low later"]
    application.restore_visible()
    assert application.consume("tts") == [f"held-{n}" for n in range(120)]


async def test_a_queue_that_was_taken_twice_comes_back_with_the_older_messages_first(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, run: Run
) -> None:
    application.enqueue("tts", "a", "b")
    await broker.open(run)
    await broker.take(run)
    application.enqueue("tts", "c", "d")
    await broker.take(run, sweep=2)
    await broker.close(run)

    for command in await broker.commands_to_put_back(run):
        await by_hand(scope, server, command)

    assert application.consume("tts") == ["a", "b", "c", "d"]


async def test_repeating_the_commands_or_stopping_half_way_does_no_harm(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    await broker.open(run)
    await broker.take(run)
    commands = await broker.commands_to_put_back(run)
    for command in commands:
        await by_hand(scope, server, command)
    once = await everything(redis)

    for command in commands:
        await by_hand(scope, server, command)

    assert await everything(redis) == once


async def test_a_run_that_took_nothing_has_nothing_to_put_back(broker: RedisBroker, run: Run) -> None:
    assert await broker.commands_to_put_back(recovery("tts")) == []
    await broker.open(run)
    assert await broker.commands_to_put_back(run) == []
