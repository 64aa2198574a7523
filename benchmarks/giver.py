"""The operator's part of a redelivery in a separate process: open, read and give back until none is left, close.

    python -m benchmarks.giver URL

It prints a line when everything is loaded, as in an operator that waits for recoveries, and continues when it reads a
line. Then it gives every message of the queue `tts` in `unacked` back, and prints the duration and its peak memory.
"""

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from uuid import uuid4

from benchmarks.memory import memory
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import HeldMessage, QueueRun, Run

_AT_ONCE = 10_000
"""As `recovery/redeliver.py`, which looks at the workers after so many messages."""


async def give_back(url: str) -> None:
    """Give the messages back, and print the figures as JSON."""
    broker = RedisBroker.connect(url, TransportOptions())
    run = broker.run(Run(uid=str(uuid4()), name="bench/giver", cluster="bench", queue="tts"))
    sys.stdout.write("\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began = time.monotonic()
    await run.open()
    await run.pass_boundary()
    while await _pass(broker, run):
        pass
    given = await run.redelivered()
    await run.close()
    await run.release(expires=datetime.now(UTC), retain=True)
    seconds = time.monotonic() - began
    await broker.aclose()
    sys.stdout.write(json.dumps({"seconds": seconds, "memory": memory("VmHWM"), "taken": given, "left": 0}))


async def _pass(broker: RedisBroker, run: QueueRun) -> int:
    """Read all of `unacked` once, give back what is found, and return how much that is."""
    found, portion = 0, list[HeldMessage]()
    async for messages in broker.held("tts"):
        portion += messages
        if len(portion) >= _AT_ONCE:
            await run.redeliver(portion)
            found, portion = found + len(portion), []
    await run.redeliver(portion)
    return found + len(portion)


if __name__ == "__main__":
    asyncio.run(give_back(sys.argv[1]))
