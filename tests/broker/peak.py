"""How much memory an operation on a broker takes: the peak of a process that does nothing else."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from queue_recovery.api.target import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.errors import NotYet, RecoveryError
from queue_recovery.recovery.ports import Restored, Run
from tests.broker.application import recovery, restoring, selecting, tasks

LIMIT_MIB: Final = 256
"""What the operator may take, all of it."""

_ROOT = Path(__file__).parents[2]


class Peak(NamedTuple):
    """What became of an operation."""

    mib: float
    """The largest resident size of the process, with the interpreter and all modules."""
    found: object
    """What it returned, as far as JSON holds it; for an error its reason."""


async def peak_of(operation: str, url: str) -> Peak:
    """Do one of the operations below in a process of its own."""
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.broker.peak", operation, url),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
    )
    output, _ = await child.communicate()
    assert child.returncode == 0
    kibibytes, found = json.loads(output)
    return Peak(kibibytes / 1024, found)


async def _check(broker: RedisBroker) -> object:
    await broker.check()
    return "fit"


async def _recover(broker: RedisBroker, run: Run) -> object:
    """Do all that a recovery does to a queue, with its plan before and an undo after it."""
    await broker.check_queue("tts")
    count = await broker.count("tts", select=run.select)
    await broker.queued_task_ids(["no such id"], "tts")
    await broker.open(run)
    taken = await broker.take(run)
    await broker.push(run, tasks(1))
    closed = await broker.close(run)
    await broker.release(run, expires=datetime.now(UTC), keep=True)
    undo = restoring(run)
    restored = Restored(restored=0, left=0)
    if taken.ready + taken.unacked:
        await broker.open(undo)
        restored = await broker.restore(undo)
        await broker.close(undo)
        await broker.release(undo, expires=datetime.now(UTC), keep=True)
    return {
        "planned": [count.ready, count.unacked, count.keep],
        "taken": [taken.ready, taken.unacked, taken.kept],
        "oversized": taken.oversized,
        "undecodable": taken.undecodable,
        "pushed": len(closed.pushed),
        "restored": [restored.restored, restored.left],
    }


async def _look_at_the_lock(broker: RedisBroker) -> object:
    held = await broker.holders("tts")
    with suppress(NotYet):
        await broker.open(recovery("tts"))
    return [len(holder.name) for holder in held.values()]


async def _close_forged(broker: RedisBroker) -> object:
    await broker.close(replace(recovery("tts"), uid="forged"))
    return "closed"


async def _sweep(broker: RedisBroker) -> object:
    async def is_live(_name: str, _uid: str) -> bool:
        return False

    return await broker.sweep("this-cluster", is_live, datetime.now(UTC))


async def _unlisted(broker: RedisBroker) -> object:
    return list((await broker.unlisted([])).names)


OPERATIONS: Mapping[str, Callable[[RedisBroker], Awaitable[object]]] = {
    "check": _check,
    "recover": lambda broker: _recover(broker, recovery("tts")),
    "recover a part": lambda broker: _recover(broker, selecting(task_ids=["small"])),
    "look at the lock": _look_at_the_lock,
    "close a forged run": _close_forged,
    "sweep": _sweep,
    "unlisted": _unlisted,
}


async def _main(operation: str, url: str) -> None:
    broker = RedisBroker.connect(url, TransportOptions())
    try:
        found = await OPERATIONS[operation](broker)
    except RecoveryError as error:
        found = error.reason
    await broker.aclose()
    sys.stdout.write(json.dumps([_peak_kib(), found]))


def _peak_kib() -> int:
    """Return the largest resident size of this process.

    Not that of `getrusage`, which is that of the process that started this one if it was larger.
    """
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
