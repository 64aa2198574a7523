"""The commands of `docs/quarantine.md` do what the page says, sent by `redis-cli` as they stand there."""

import re
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Run
from sandbox.broker import Broker as Server
from sandbox.processes import ROOT, Scope
from tests.broker.application import Application, everything, recovery_of

pytestmark = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not on PATH")

_PAGE = (ROOT / "docs" / "quarantine.md").read_text()
_BLOCKS = re.findall(r"```sh\n(.*?)```", _PAGE, re.DOTALL)
_PRELUDE, OF_QUEUE, LOOK, LISTS, OTHER_PRIORITIES, UNACKED, RELEASE, RECORDS = _BLOCKS
PUT_BACK = (LISTS, OTHER_PRIORITIES, UNACKED)


_KUBECTL = """kubectl() {
  case "$*" in
    "get secret redis "*.data.url*) printf %s "$SECRET" | base64 ;;
    "get qr "*.status.quarantine.name*) printf %s "$STATUS" ;;
  esac
}
"""
"""A cluster of one Secret and one recovery."""


async def by_hand(scope: Scope, server: Server, name: str, block: str, *, attempt: int = 1, of_queue: str = "") -> str:
    """Run a block of the page as a person would; return what it printed."""
    script = _KUBECTL + _PRELUDE + of_queue + block.replace("$NAME:1:", f"$NAME:{attempt}:")
    shell = await scope.start("by-hand", ["sh", "-ec", script], environment={"SECRET": server.url, "STATUS": name})
    assert await shell.wait() == 0, shell.end_of_log()
    return shell.end_of_log()


async def test_messages_come_out_next_in_the_order_that_they_had(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", *(f"held-{n}" for n in range(120)), "first", "second", "third")
    application.enqueue("tts", "low-1", "low-2", priority=9)
    application.hold("tts", 120)
    await broker.run(run).open()
    name = (await broker.run(run).take()).quarantine
    await broker.run(run).close()
    application.disappear()
    application.enqueue("tts", "came later")
    application.enqueue("tts", "low later", priority=9)

    for block in PUT_BACK:
        assert await by_hand(scope, server, name, block) == ""

    assert not await redis.keys(f"{name}*")
    assert application.consume("tts") == ["first", "second", "third", "came later", "low-1", "low-2", "low later"]
    application.restore_visible()
    assert application.consume("tts") == [f"held-{n}" for n in range(120)]


async def test_a_queue_that_was_taken_twice_comes_back_with_the_older_messages_first(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, run: Run
) -> None:
    application.enqueue("tts", "a", "b")
    await broker.run(run).open()
    await broker.run(run).take()
    application.enqueue("tts", "c", "d")
    name = (await broker.run(run).take(attempt=2)).quarantine
    await broker.run(run).close()

    for attempt in (2, 1):
        await by_hand(scope, server, name, LISTS, attempt=attempt)

    assert application.consume("tts") == ["a", "b", "c", "d"]


async def test_one_queue_of_a_recovery_of_all_is_put_back_alone(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, redis: Redis
) -> None:
    application.enqueue("tts", "a", "b")
    application.enqueue("mail", "c")
    runs = recovery_of("mail", "tts")
    await broker.run(*runs).open()
    name = (await broker.run(*runs).take()).quarantine

    for block in PUT_BACK:
        await by_hand(scope, server, name, block, of_queue=OF_QUEUE)

    assert application.consume("tts") == ["a", "b"]
    assert await redis.keys(f"{name}*") == [f"{name}/mail:1:ready:0".encode()]


async def test_repeating_the_commands_does_no_harm(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    await broker.run(run).open()
    name = (await broker.run(run).take()).quarantine
    for block in PUT_BACK:
        await by_hand(scope, server, name, block)
    once = await everything(redis)

    for block in PUT_BACK:
        await by_hand(scope, server, name, block)

    assert await everything(redis) == once


async def test_a_quarantine_can_be_looked_at_and_removed(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "first", "second")
    await broker.run(run).open()
    name = (await broker.run(run).take()).quarantine

    shown = await by_hand(scope, server, name, LOOK)
    assert f"{name}:1:ready:0\n2\n" in shown
    assert shown.count('"task": ') == 2

    await by_hand(scope, server, name, RELEASE)
    assert not await redis.keys(f"{name}*")


async def test_the_operators_records_can_be_removed(
    scope: Scope, broker: RedisBroker, application: Application, server: Server, redis: Redis
) -> None:
    application.enqueue("tts", "first")
    runs = recovery_of("mail", "tts")
    await broker.run(*runs).open()
    name = (await broker.run(*runs).take()).quarantine
    await broker.run(*runs).close()
    await broker.run(*runs).release(expires=datetime.now(UTC) + timedelta(days=7), retain=True)
    assert len(await redis.keys("queuerecovery.dev:run*")) == 3

    await by_hand(scope, server, name, RECORDS)

    assert await redis.keys("queuerecovery.dev:*") == [f"{name}/tts:1:ready:0".encode()]
