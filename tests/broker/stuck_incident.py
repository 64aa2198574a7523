"""A queue of real messages and real Celery workers, and a target that looks at them."""

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from redis.asyncio import Redis

from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.redis_results import RedisResults
from queue_recovery.controller.stuck_watch import Findings, StuckWatch
from queue_recovery.controller.target_check import check_target
from queue_recovery.diagnosis.evidence import ContainerEnd
from queue_recovery.diagnosis.proposal import proposed
from queue_recovery.diagnosis.stuck_rules import Finding
from sandbox.broker import Broker as Server
from sandbox.processes import Process, Scope, until
from tests.broker.stuck_app import app
from tests.recovery.fakes import FakeEnvironment, target

ENOUGH = timedelta(seconds=400)
"""Longer than any threshold: a look that comes so much later finds what has to last."""


class Incident:
    """A queue `tts` of real messages, its workers, and a target that looks at them."""

    def __init__(self, scope: Scope, broker: RedisBroker, server: Server, redis: Redis) -> None:
        """Begin without a worker."""
        self._scope = scope
        self._server = server
        self.redis = redis
        self.namespace = FakeEnvironment()
        self.namespace.connects_to = broker
        self.namespace.results_from = RedisResults.connect(server.url)
        self.namespace.deployments.add("worker", pods=0)
        self.namespace.time = datetime.now(UTC)
        self.spec = target()
        self._watch = StuckWatch()
        self._status = QueueTargetStatus()
        self._found: Sequence[Finding] = ()
        self._running: dict[Process, datetime] = {}
        self._ends: tuple[ContainerEnd, ...] = ()
        self._number = 0
        self.grace_seconds = 600

    def thresholds(self, **thresholds: int) -> None:
        """Set thresholds of the target."""
        self.spec = target(diagnosis={"stuck": thresholds})

    def reads_results(self, **transport_options: int) -> None:
        """Let the target have Celery's results read."""
        self.spec = target(
            diagnosis={"results": {}},
            broker={"urlSecretRef": {"name": "redis", "key": "url"}, "transportOptions": transport_options},
        )

    async def start(self, *options: str, ready: bool = True, **settings: str) -> Process:
        """Start a worker, and describe it as a kubelet does.

        Args:
            options: further ones of its command line.
            ready: whether to wait until it consumes.
            settings: variables of its environment; `stuck_app` reads them.
        """
        self._number += 1
        started = datetime.now(UTC)
        worker = await self._scope.start(
            f"worker-{self._number}",
            [
                *(Path(sys.executable).with_name("celery"), "-A", "tests.broker.stuck_app", "worker"),
                *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=info"),
                *("--concurrency=1", "--hostname", f"worker-{self._number}@pod", *options),
            ],
            environment={"BROKER_URL": self._server.url, "PYTHONWARNINGS": "ignore", **settings},
        )
        self._running[worker] = started
        self._describe()

        async def is_ready() -> bool:
            return " ready." in worker.log.read_text()

        if ready:
            await until(is_ready, "the worker to be ready", of=worker)
        return worker

    async def ended(self, worker: Process) -> int:
        """Wait until a worker has ended, and describe that as a kubelet does; return its exit code."""
        code = await worker.wait()
        del self._running[worker]
        end = ContainerEnd(
            restarts=1, reason="Error" if code else "Completed", exit_code=code, finished=datetime.now(UTC)
        )
        self._ends = (end,)
        self._describe()
        return code

    async def asked_to_end(self, worker: Process) -> None:
        """Send SIGTERM to a worker, as a kubelet does, and wait until it begins nothing more."""
        worker.send(signal.SIGTERM)

        async def is_ending() -> bool:
            return "Warm shutdown" in worker.log.read_text()

        await until(is_ending, "the worker to shut down", of=worker)

    async def replaced(self, worker: Process) -> None:
        """Wait for the end of a worker whose pod is deleted then: its containers are in no list afterwards."""
        assert await self.ended(worker) == 0
        self._ends = ()
        self._describe()

    def _describe(self) -> None:
        starts = tuple(self._running.values())
        self.namespace.deployments.change(
            "worker",
            pods=max(len(starts), len(self._ends)),
            oldest_process=min(starts, default=None),
            running_pods={"pod": self.grace_seconds} if starts and not self._ends else {},
            ready_since=starts,
            ends=self._ends,
        )

    def send(self, *names: str, arguments: Sequence[object] = (), **options: object) -> None:
        """Enqueue tasks as the application does."""
        with app.connection_for_write(url=self._server.url) as connection:
            for name in names:
                app.send_task(name, arguments, connection=connection, **options)

    async def look(self, *, after: timedelta = timedelta(seconds=30)) -> Mapping[str, str]:
        """Let this much time pass for the target, and look; return the causes that are told, with their messages."""
        self.namespace.time += after
        self._status = await check_target(
            self.spec, self._status, self.namespace, generation=1, watch=self._watch, propose=self._keep
        )
        [queue] = self._status.queues
        return {cause.reason: cause.message for cause in queue.stuck}

    def run_times(self) -> tuple[str, str]:
        """Return the reason and the message of the condition that tells how long tasks run."""
        found = find(self._status.conditions, ConditionType.RUN_TIMES_ALLOWED)
        assert found is not None
        return found.reason, found.message

    async def _keep(self, _: StuckWatch, found: Findings) -> None:
        self._found = found.get("tts", ())

    def proposed(self) -> Sequence[object]:
        """Return what is proposed for the causes that the last look has found."""
        found = [proposed(one, self.spec.diagnosis.stuck, target="media", queue="tts") for one in self._found]
        return [
            one.model_dump(mode="json", by_alias=True, exclude_unset=True, include={"purge", "restart", "redeliver"})
            for one in found
            if one is not None
        ]

    def seen(self) -> Sequence[str]:
        """Return the task ids of the messages that show the causes which the last look has found."""
        return [message.task_id or "" for one in self._found for message in one.messages]

    async def has(self, *, ready: int | None = None, unacked: int | None = None) -> None:
        """Wait until so many messages wait, and workers hold so many."""

        async def counted() -> bool:
            return ready in {None, await self.redis.llen("tts")} and unacked in {None, await self.redis.hlen("unacked")}

        await until(counted, f"{ready} messages to wait and {unacked} to be unacked")

    async def retries(self) -> int:
        """Return how often the message was retried that was retried most, of those that workers hold."""
        held = [json.loads(entry)[0] for entry in (await self.redis.hgetall("unacked")).values()]
        return max((message["headers"]["retries"] for message in held), default=0)

    async def given_back(self) -> int:
        """Return how many of the messages that wait were given back by a worker."""
        waiting = [json.loads(message) for message in await self.redis.lrange("tts", 0, -1)]
        return sum("redelivered" in message["headers"] for message in waiting)
