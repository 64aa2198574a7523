"""The operator's part of a purge in a separate process: open, take, close, release.

    python -m benchmarks.taker URL [TASK]

It prints a line when everything is loaded, as in an operator that waits for recoveries, and continues when it reads a
line. Then it takes the queue `tts`, or the messages of one task in it, and prints the duration and its peak memory.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from uuid import uuid4

from benchmarks.memory import memory
from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Run


async def take(url: str, *tasks: str) -> None:
    """Take the messages, and print the figures as JSON."""
    broker = RedisBroker.connect(url, TransportOptions())
    select = PurgeSelect(tasks=list(tasks)) if tasks else None
    run = Run(uid=str(uuid4()), name="bench/taker", cluster="bench", queue="tts", select=select)
    sys.stdout.write("\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began = time.monotonic()
    await broker.run(run).open()
    taken = await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    seconds = time.monotonic() - began
    await broker.aclose()
    figures = {"seconds": seconds, "memory": memory("VmHWM"), "taken": taken.ready + taken.unacked, "left": taken.left}
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(take(*sys.argv[1:]))
