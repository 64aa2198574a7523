"""Operations on a broker, for a process of their own (`tests/memory.py`)."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Restored, Run
from tests.broker.application import recovery, restoring, selecting, tasks
from tests.memory import tell


async def _check(broker: RedisBroker) -> object:
    await broker.check()
    return "fit"


async def _recover(broker: RedisBroker, run: Run) -> object:
    """Do all that a recovery does to a queue, with its plan before and an undo after it."""
    await broker.check_queue("tts")
    count = await broker.count("tts", select=run.select)
    await broker.queued_task_ids(["no such id"], "tts")
    await broker.run(run).open()
    taken = await broker.run(run).take()
    await broker.run(run).push({run.queue: tasks(1)})
    closed = await broker.run(run).close()
    unreplaced = await broker.run(run).unreplaced()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    undo = restoring(run)
    restored = Restored(restored=0, left=0)
    if taken.ready + taken.unacked:
        await broker.run(undo).open()
        restored = await broker.run(undo).restore()
        await broker.run(undo).close()
        await broker.run(undo).release(expires=datetime.now(UTC), retain=True)
    return {
        "planned": [count.ready, count.unacked, count.leave],
        "taken": [taken.ready, taken.unacked, taken.left],
        "oversized": taken.oversized,
        "undecodable": taken.undecodable,
        "pushed": len(closed.pushed),
        "unreplaced": [unreplaced.count, unreplaced.is_exact],
        "restored": [restored.restored, restored.left],
    }


async def _look_at_the_lock(broker: RedisBroker) -> object:
    held = await broker.holders("tts")
    with suppress(RecoveryError):
        await broker.run(recovery("tts")).open()
    return [len(holder.name) for holder in held.values()]


async def _close_forged(broker: RedisBroker) -> object:
    await broker.run(replace(recovery("tts"), uid="forged")).close()
    return "closed"


async def _expire(broker: RedisBroker) -> object:
    async def is_live(_name: str, _uid: str) -> bool:
        return False

    return await broker.expire_quarantines("this-cluster", is_live, datetime.now(UTC))


async def _unlisted(broker: RedisBroker) -> object:
    return list((await broker.unlisted([])).names)


OPERATIONS: Mapping[str, Callable[[RedisBroker], Awaitable[object]]] = {
    "check": _check,
    "recover": lambda broker: _recover(broker, recovery("tts")),
    "recover a part": lambda broker: _recover(broker, selecting(task_ids=["small"])),
    "look at the lock": _look_at_the_lock,
    "close a forged run": _close_forged,
    "expire": _expire,
    "unlisted": _unlisted,
}


async def _main(operation: str, url: str) -> None:
    broker = RedisBroker.connect(url, TransportOptions())
    try:
        found = await OPERATIONS[operation](broker)
    except RecoveryError as error:
        found = error.reason
    await broker.aclose()
    tell(found)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
