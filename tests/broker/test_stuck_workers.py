"""Real Celery workers are stuck for one cause after the other, or only look so, and the target tells which."""

import json
import signal
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from redis.asyncio import Redis

from queue_recovery.api.stuck import StuckSpec
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.broker import RedisBroker
from queue_recovery.controller.stuck_watch import Findings, StuckWatch
from queue_recovery.controller.target_check import check_target
from queue_recovery.diagnosis.proposal import proposed
from queue_recovery.diagnosis.stuck_rules import Finding
from sandbox.broker import Broker as Server
from sandbox.processes import Process, Scope, until
from tests.broker.conftest import on_one_server
from tests.broker.stuck_app import app
from tests.recovery.fakes import FakeEnvironment, target

pytestmark = on_one_server

ENOUGH = timedelta(seconds=400)
"""Longer than any threshold: a look that comes so much later finds what has to last."""


class Incident:
    """A queue `tts` of real messages, its worker, and a target that looks at them."""

    def __init__(self, scope: Scope, broker: RedisBroker, server: Server, redis: Redis) -> None:
        """Begin without a worker."""
        self._scope = scope
        self._server = server
        self.redis = redis
        self.namespace = FakeEnvironment()
        self.namespace.connects_to = broker
        self.namespace.deployments.add("worker", pods=0)
        self.namespace.time = datetime.now(UTC)
        self._watch = StuckWatch()
        self._status = QueueTargetStatus()
        self._found: Sequence[Finding] = ()
        self._number = 0

    async def start(self) -> Process:
        """Start a worker, wait until it consumes, and describe it as a kubelet does."""
        self._number += 1
        started = datetime.now(UTC)
        worker = await self._scope.start(
            f"worker-{self._number}",
            [
                *(
                    Path(sys.executable).with_name("celery"),
                    "-A",
                    "tests.broker.stuck_app",
                    "worker",
                    "--concurrency=1",
                ),
                *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=info"),
            ],
            environment={"BROKER_URL": self._server.url, "PYTHONWARNINGS": "ignore"},
        )
        self.namespace.deployments.change("worker", pods=1, oldest_process=started, ready_since=(started,))

        async def is_ready() -> bool:
            return " ready." in worker.log.read_text()

        await until(is_ready, "the worker to be ready", of=worker)
        return worker

    def send(self, *names: str, arguments: Sequence[object] = ()) -> None:
        """Enqueue tasks as the application does."""
        with app.connection_for_write(url=self._server.url) as connection:
            for name in names:
                app.send_task(name, arguments, connection=connection)

    async def look(self, *, after: timedelta = timedelta(seconds=30)) -> Mapping[str, str]:
        """Let this much time pass for the target, and look; return the causes that are told, with their messages."""
        self.namespace.time += after
        self._status = await check_target(
            target(), self._status, self.namespace, generation=1, watch=self._watch, propose=self._keep
        )
        [queue] = self._status.queues
        return {cause.reason: cause.message for cause in queue.stuck}

    async def _keep(self, _: StuckWatch, found: Findings) -> None:
        self._found = found.get("tts", ())

    def proposed(self) -> Sequence[object]:
        """Return what is proposed for the causes that the last look has found."""
        spec = StuckSpec()
        found = [proposed(one, spec, target="media", queue="tts") for one in self._found]
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


@pytest.fixture
async def incident(scope: Scope, broker: RedisBroker, server: Server, redis: Redis) -> Incident:
    return Incident(scope, broker, server, redis)


async def test_a_worker_that_is_stopped_with_its_connection_open_is_deaf(incident: Incident) -> None:
    worker = await incident.start()
    worker.send_to_group(signal.SIGSTOP)
    # The server gives one message to the connection that waits for it: it is neither in the list nor in `unacked`.
    incident.send("tts.short", "tts.short", "tts.short")
    first = await incident.look()
    second = await incident.look(after=ENOUGH)
    assert incident.proposed() == [{"purge": {"mode": "None"}, "restart": {"annotate": True}}]
    worker.send_to_group(signal.SIGCONT)
    await incident.has(ready=0, unacked=0)

    assert first == {}
    assert list(second) == ["DeafWorkers"]
    assert second["DeafWorkers"].startswith(("2 messages wait", "3 messages wait"))
    for _ in range(3):
        last = await incident.look()
    assert last == {}


async def test_what_a_killed_worker_held_is_stranded_and_a_new_worker_is_not_deaf(incident: Incident) -> None:
    worker = await incident.start()
    incident.send("tts.late", arguments=[600])
    await incident.has(ready=0, unacked=1)
    assert await incident.look() == {}
    assert await incident.look(after=ENOUGH) == {}, "a long task"
    await worker.kill()
    # Ten seconds ago, as if it had run for so long.
    for tag in await incident.redis.hkeys("unacked"):
        await incident.redis.zincrby("unacked_index", -10, tag)
    await incident.start()

    assert await incident.look() == {}
    told = await incident.look()

    assert list(told) == ["StrandedMessages"]
    assert told["StrandedMessages"].startswith("1 message in unacked")
    assert incident.proposed() == [{"purge": {"mode": "None"}, "redeliver": {}}]


async def test_a_task_that_is_retried_indefinitely_is_a_retry_loop(incident: Incident) -> None:
    await incident.start()
    incident.send("tts.retried_indefinitely")

    async def retries() -> int:
        entries = [json.loads(entry)[0] for entry in (await incident.redis.hgetall("unacked")).values()]
        return max((entry["headers"]["retries"] for entry in entries), default=0)

    async def retried(times: int) -> bool:
        return await retries() >= times

    assert await incident.look() == {}
    await until(lambda: retried(10), "the task to be retried ten times")
    await incident.look()
    seen = await retries()
    await until(lambda: retried(seen + 1), "the task to be retried again")

    told: Mapping[str, str] = {}

    async def is_told() -> bool:
        nonlocal told
        told = await incident.look()
        return "RetryLoop" in told

    await until(is_told, "a look to see the message, which is invisible while its task runs")
    assert list(told) == ["RetryLoop"]
    assert '(task "tts.retried_indefinitely")' in told["RetryLoop"]
    select = {"tasks": ["tts.retried_indefinitely"], "minRetries": 10}
    assert incident.proposed() == [{"purge": {"select": select}}]
    [task_id] = incident.seen()
    assert UUID(task_id), "by which its result is read"


async def test_healthy_patterns_tell_of_nothing(incident: Incident) -> None:
    worker = await incident.start()
    looks = []
    looks.append(("empty", await incident.look()))
    looks.append(("empty for long", await incident.look(after=ENOUGH)))
    incident.send(*["tts.short"] * 500)
    looks.append(("a burst", await incident.look()))
    await incident.has(ready=0, unacked=0)
    looks.append(("empty again", await incident.look()))
    incident.send(*["tts.long"] * 3, arguments=[600])
    await incident.has(ready=1, unacked=1)
    looks.append(("a long task", await incident.look()))
    looks.append(("a long task for long", await incident.look(after=ENOUGH)))
    await worker.kill()
    incident.namespace.deployments.change("worker", pods=0, oldest_process=None, ready_since=())
    looks.append(("no worker", await incident.look(after=ENOUGH)))
    looks.append(("no worker for long", await incident.look(after=ENOUGH)))

    assert looks == [(name, {}) for name, _ in looks]
