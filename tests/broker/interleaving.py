"""A recovery at the broker, script by script, and what has to be true of its messages wherever it was disturbed."""

import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from redis.asyncio import Redis

from queue_recovery.api.reasons import Outcome
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.scripts import Script, text_of
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Closed, Run
from sandbox.broker import Broker as Server
from tests.broker.application import Application, selecting, tasks

STEPS = (
    Script.OPEN,
    Script.FREEZE,
    Script.MOVE_UNACKED,
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


@contextmanager
def before(broker: RedisBroker, turns: dict[Script, Callable[[], Awaitable[None]]]) -> Iterator[None]:
    """Do something when a script is about to be sent for the first time."""
    send = broker.database.client.script
    waiting = {text_of(script): action for script, action in turns.items()}

    async def script(text: str, keys: Sequence[str], arguments: Sequence[str | bytes | int | float]) -> list[bytes]:
        if text in waiting:
            await waiting.pop(text)()
        return await send(text, keys, arguments)

    broker.database.client.script = script  # type: ignore[method-assign]
    yield
    assert not waiting
    broker.database.client.script = send  # type: ignore[method-assign]


def enqueue(application: Application) -> None:
    """Fill the queue: four messages that are to be taken, four to be left, half of each held by a worker."""
    application.enqueue("tts", *(name for pair in zip(POISON, GOOD, strict=True) for name in pair))
    application.hold("tts", 4)


def selected() -> Run:
    """Return a recovery of what is to be taken."""
    return selecting(task_ids=POISON)


async def no_cure() -> None:
    """Fix nothing: the trouble is over."""


async def recover(
    broker: RedisBroker, run: Run, cure: Callable[[], Awaitable[None]] = no_cure
) -> tuple[Closed, list[RecoveryError]]:
    """Go through a whole recovery; enter a step again, after the cure, that had to wait (`reconcile._after`).

    Returns what the closed run says, and what was waited for.
    """
    waited: list[RecoveryError] = []
    for step in (
        lambda: broker.run(run).open(),
        lambda: broker.run(run).freeze({run.queue: {"0:a": None}}),
        lambda: broker.run(run).take(),
        lambda: broker.run(run).push({run.queue: tasks(2)}),
    ):
        try:
            await step()
        except RecoveryError as error:
            if error.outcome is Outcome.FAILED:
                raise
            waited.append(error)
            await cure()
            await step()
    try:
        return await end(broker, run), waited
    except RecoveryError as error:
        if error.outcome is not Outcome.UNAVAILABLE:
            raise
        waited.append(error)
        await cure()
        return await end(broker, run), waited


async def end(broker: RedisBroker, run: Run) -> Closed:
    """End it; an ending whose final writes do not fit is begun again."""
    closed = await broker.run(run).close()
    try:
        await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    except RecoveryError as error:
        if error.outcome is not Outcome.FAILED:
            raise
        closed = await broker.run(run).close()
        await broker.run(run).release(expires=datetime.now(UTC), retain=True)
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
    """Return the task ids of the run's markers."""
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
