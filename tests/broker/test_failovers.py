"""Sentinels, and what a failover does to a recovery, wherever it comes."""

import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from queue_recovery.api.target import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.scripts import Script, _text
from queue_recovery.recovery.errors import NotYet, Rejected
from queue_recovery.recovery.ports import BrokerHealth, Closed, Run
from sandbox.broker import Broker as Server
from sandbox.processes import Scope
from sandbox.sentinels import NAME, Watched, ask
from tests.broker.application import Application, everything, selecting, tasks

OPTIONS = TransportOptions(master_name=NAME)

STEPS = (
    Script.OPEN,
    Script.FREEZE,
    Script.BITE,
    Script.BOUNDARY,
    Script.SORT,
    Script.REJOIN,
    Script.COMPLETE,
    Script.PUSH,
    Script.CLOSE,
    Script.RELEASE,
)
"""The scripts of a recovery that selects, in the order of their first turn."""

POISON = [f"poison-{n}" for n in range(4)]
GOOD = [f"good-{n}" for n in range(4)]


@pytest.fixture(scope="module")
async def watched(servers: Scope) -> Watched:
    return await Watched.start(servers)


@pytest.fixture
async def broker(watched: Watched) -> AsyncIterator[RedisBroker]:
    """A broker behind Sentinels, and a primary and a replica that are empty."""
    await ask(watched.primary, "FLUSHALL")
    await watched.follow()
    broker = RedisBroker.connect(watched.url, OPTIONS)
    yield broker
    await broker.aclose()


@contextmanager
def before(broker: RedisBroker, turns: dict[Script, Callable[[], Awaitable[None]]]) -> Iterator[None]:
    """Do something when a script is about to be sent for the first time."""
    send = broker._client.script
    waiting = {_text(script): action for script, action in turns.items()}

    async def script(text: str, keys: Sequence[str], arguments: Sequence[str | bytes | int | float]) -> list[bytes]:
        if text in waiting:
            await waiting.pop(text)()
        return await send(text, keys, arguments)

    broker._client.script = script  # type: ignore[method-assign]
    yield
    assert not waiting
    broker._client.script = send  # type: ignore[method-assign]


def enqueue(watched: Watched) -> None:
    """Fill the queue as an application does that reaches it by the same URL."""
    with Application.connected(watched.url, master_name=NAME) as application:
        application.enqueue("tts", *(name for pair in zip(POISON, GOOD, strict=True) for name in pair))
        application.hold("tts", 4)


def selected() -> Run:
    return selecting(task_ids=POISON)


async def recover(broker: RedisBroker, run: Run) -> Closed:
    """Go through a whole recovery."""
    await broker.open(run)
    await broker.freeze(run, {"0:a": "null"})
    try:
        await broker.take(run)
    except NotYet:
        await broker.take(run)  # what is to be waited for is tried again
    await broker.push(run, tasks(2))
    return await end(broker, run)


async def end(broker: RedisBroker, run: Run) -> Closed:
    """End it; an ending whose books do not fit is begun again (`work._after`)."""
    closed = await broker.close(run)
    try:
        await broker.release(run, expires=datetime.now(UTC), keep=True)
    except Rejected:
        closed = await broker.close(run)
        await broker.release(run, expires=datetime.now(UTC), keep=True)
    return closed


async def places(server: Server) -> dict[str, list[str]]:
    """Return where the ids of all messages are."""
    async with Redis(port=server.port, protocol=2) as redis:
        found: dict[str, list[str]] = {"queue": [], "unacked": [], "quarantine": []}
        for key in [os.fsdecode(key) for key in await redis.keys()]:
            place = "quarantine" if ":quarantine:" in key else {"tts": "queue"}.get(key, key)
            kind = await redis.type(key)
            if kind == b"list":
                found[place] += [json.loads(m)["headers"]["id"] for m in await redis.lrange(key, 0, -1)]
            elif kind == b"hash" and place in found:
                found[place] += [json.loads(m)[0]["headers"]["id"] for m in await redis.hvals(key)]
        return found


async def markers(server: Server, run: Run) -> set[str]:
    """Return the task ids that the run's markers bear."""
    async with Redis(port=server.port, protocol=2) as redis:
        record = await redis.hgetall(f"queuerecovery.dev:run:{run.uid}")
    return {os.fsdecode(value) for name, value in record.items() if os.fsdecode(name).startswith("job:")}


async def conserved(server: Server, run: Run) -> dict[str, list[str]]:
    """Check that each message is in one place, and each job that has a marker in the queue, once; return the places."""
    found = await places(server)
    new = [name for name in found["queue"] if name.startswith("new-")]
    assert Counter(new) == Counter(await markers(server, run))
    assert Counter([name for names in found.values() for name in names if name not in new]) == Counter(POISON + GOOD)
    return found


async def test_it_is_found_by_the_url_and_the_name_that_the_application_has(
    watched: Watched, broker: RedisBroker
) -> None:
    enqueue(watched)

    assert await broker.check() == BrokerHealth(eviction_policy="noeviction")
    assert await broker.depths(["tts"]) == ({"tts": 4}, 4)


@pytest.mark.parametrize("step", STEPS)
async def test_a_failover_before_any_script_is_not_noticed_and_nothing_goes_to_the_old_primary(
    watched: Watched, broker: RedisBroker, step: Script
) -> None:
    run = selected()
    enqueue(watched)
    left: dict[bytes, object] = {}

    async def fail_over() -> None:
        await watched.replicated()
        await watched.fail_over()
        async with Redis(port=watched.replica.port, protocol=2) as old:
            left.update(await everything(old))

    with before(broker, {step: fail_over}):
        await recover(broker, run)

    found = await conserved(watched.primary, run)
    assert sorted(found["quarantine"]) == POISON
    assert sorted(found["queue"] + found["unacked"]) == sorted([*GOOD, "new-0", "new-1"])
    assert (await ask(watched.replica, "ROLE"))[0] == b"master", "the old primary would have taken writes"
    async with Redis(port=watched.replica.port, protocol=2) as old:
        assert await everything(old) == left


@pytest.mark.parametrize(
    ("last", "step"), [(last, step) for n, last in enumerate(STEPS) for step in STEPS[n + 1 :]], ids=str
)
async def test_what_the_replica_had_not_got_is_done_again_or_told_as_lost_and_nothing_is_there_twice(
    watched: Watched, broker: RedisBroker, last: Script, step: Script
) -> None:
    run = selected()
    enqueue(watched)

    async def stop_replicating() -> None:
        await watched.replicated()
        await ask(watched.replica, "REPLICAOF", "NO", "ONE")

    async def fail_over() -> None:
        await watched.watch(watched.replica)

    told = None
    try:
        with before(broker, {last: stop_replicating, step: fail_over}):
            closed = await recover(broker, run)
    except Rejected as error:
        told = error.reason
        await conserved(watched.primary, run)
        closed = await end(broker, run)

    assert told in (None, "BrokerLostData")
    assert told is None or not closed.was_purged or len(closed.pushed) < 2
    found = await conserved(watched.primary, run)
    assert closed.pushed == {f"{n}:int:{n}" for n in range(2) if f"new-{n}" in found["queue"]}
    assert sorted(found["quarantine"]) == (POISON if closed.was_purged else [])
    assert await broker.holder("tts") is None
