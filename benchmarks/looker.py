"""The operator's part of the looks at a target in a separate process: what each check sends to the broker.

    python -m benchmarks.looker URL LOOKS

It prints a line when it has looked for the first time, and continues when it reads a line. Then it prints the figures.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from benchmarks.memory import memory
from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import TransportOptions
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.redis_results import RedisResults
from queue_recovery.controller.started_tasks import started_tasks
from queue_recovery.controller.stuck_watch import StuckWatch, looks_at
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Results, Worker, Workers
from queue_recovery.recovery.ports.environment import Environment

_QUEUES = ("tts", "mail")
_BETWEEN = timedelta(seconds=30)
_UPTIME = 10**9
"""Of the server, so that no message is older."""


class _Results:
    """The environment of a target whose results are in the broker's database."""

    def __init__(self, url: str) -> None:
        self._results = RedisResults.connect(url)

    async def results(self, target: QueueTargetSpec) -> Results:
        del target
        return self._results.for_one_user(_keep_open)

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)


async def _keep_open() -> None: ...


class _NoWorkers:
    async def look(self, workers: Sequence[object]) -> Sequence[Worker]:
        del workers
        raise RecoveryError(Reason.WORKER_NOT_FOUND, "there is no API server here")


async def look(url: str, looks: int) -> None:
    """Look at the queues, and print the figures as JSON."""
    spec = QueueTargetSpec.model_validate(
        {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}},
            "diagnosis": {"results": {}},
            "queues": [{"name": queue, "workers": [{"name": "worker"}]} for queue in _QUEUES],
        }
    )
    broker, watch, at = RedisBroker.connect(url, TransportOptions()), StuckWatch(), datetime.now(UTC)
    watch.begin(spec, ())
    environment = cast("Environment", _Results(url))

    async def one() -> None:
        nonlocal at
        at += _BETWEEN
        ready, _ = await broker.depths(_QUEUES)
        seen = await looks_at(spec, broker, ready, await broker.unacked(_QUEUES))
        started = await started_tasks(spec, environment, seen, uptime_seconds=_UPTIME)
        await watch.look(spec, seen, broker, cast("Workers", _NoWorkers()), at=at, started=started)

    for _ in range(3):
        await one()
    before = memory("VmRSS")
    sys.stdout.write("\n")
    sys.stdout.flush()
    sys.stdin.readline()
    began, used = time.monotonic(), time.process_time()
    for _ in range(looks):
        await one()
    seconds, processor = (time.monotonic() - began) / looks, (time.process_time() - used) / looks
    await broker.aclose()
    figures = {
        "seconds": seconds,
        "processor": 100 * processor / _BETWEEN.total_seconds(),
        "memory": memory("VmHWM"),
        "growth": memory("VmRSS") - before,
    }
    sys.stdout.write(json.dumps(figures))


if __name__ == "__main__":
    asyncio.run(look(sys.argv[1], int(sys.argv[2])))
