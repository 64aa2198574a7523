"""Run a job store's operations in a process of their own, to measure its memory (`tests/memory.py`)."""

import asyncio
import sys
from contextlib import suppress

from queue_recovery.jobs.connecting import connect
from queue_recovery.recovery.errors import RecoveryError
from tests.jobs.stores import LATER, NOW, RUN, claim, spec
from tests.memory import tell


async def _main(url: str, database: str, collection: str, count: int) -> None:
    ids = [f"{number:04}" for number in range(count)]
    store = connect(url, spec(database, collection, fields={"args": "args"}))
    found: object = 0
    try:
        found = sum([len(job.args or "") async for job in store.look_up(ids)])
    except RecoveryError as error:
        found = error.message
    with suppress(RecoveryError):
        await store.claim(RUN, [claim(name) for name in ids], now=NOW)
        await store.settle(RUN, ids, now=LATER)
    await store.aclose()
    tell(found)


if __name__ == "__main__":
    url, database, collection, count = sys.argv[1:]
    asyncio.run(_main(url, database, collection, int(count)))
