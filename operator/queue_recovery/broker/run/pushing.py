"""Push tasks to a queue: each message and the marker of its job in one step."""

import asyncio
from collections.abc import Sequence

from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.own_keys import JOB_FIELD
from queue_recovery.broker.run.publisher import Publisher
from queue_recovery.broker.run.script import run_script
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.ports import Run, Task

_BATCH = 500
"""Jobs that one script enqueues at most."""

_MOST_BYTES = 2**20
"""Bytes of messages that one script enqueues at most, unless one alone is larger."""


async def push(db: Database, publisher: Publisher, run: Run, tasks: Sequence[Task]) -> None:
    """Enqueue each task whose job has no marker yet, in the queue's first priority list.

    Raises:
        RecoveryError: `BrokerLostData`, `AlreadyClosed`, `WrongKeyType`.
    """
    keys = [db.own.run(run.uid), db.layout.bare_list(run.queue)]
    jobs: list[Word] = []
    size = 0
    for task in tasks:
        message = publisher.message(run.queue, task)
        if jobs and (len(jobs) == 3 * _BATCH or size + len(message) > _MOST_BYTES):
            await run_script(db, Script.PUSH, keys, [run.uid, *jobs])
            jobs, size = [], 0
        jobs += [JOB_FIELD + task.key, task.task_id, message]
        size += len(message)
        if len(message) > _MOST_BYTES // 8:
            await asyncio.sleep(0)  # building a large message takes milliseconds
    if jobs:
        await run_script(db, Script.PUSH, keys, [run.uid, *jobs])
