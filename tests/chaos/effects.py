"""Every effect of the operator, seen at the edge of its drivers: named, numbered, and a point to be hit at.

Runs in the operator's process, which it changes at four places: the one method through which all requests to the
API server go (kopf's and the client's), the one for commands of Redis, and the two writes of the MongoDB driver.
"""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
from pydantic import TypeAdapter
from pymongo import UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from queue_recovery.controller import reconciler
from queue_recovery.controller.resource import KubernetesResource
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import Resource
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.reconcile import reconcile
from queue_recovery.recovery.turn import Turn
from tests.chaos import naming
from tests.chaos.points import POINTS, PRODUCER, TRACE, Crossing, Fault, Moment, Point, Side
from tests.e2e.team import envelope

T = TypeVar("T")

LIVE = "live"
"""The job that all messages belong to which are produced while the operator works."""
PRODUCED = "produced"
"""Key of the list of their task ids."""

_BACKGROUND = "TargetMonitor._monitor"


class Recorder:
    """Counts effects, writes them down, and strikes at the points."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take the points, the trace and the producer from the environment."""
        self._points = TypeAdapter(list[Point]).validate_json(environment.get(POINTS, "[]"))
        self._trace = os.open(environment[TRACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._producer = Redis.from_url(environment[PRODUCER])
        self._counts: Counter[str] = Counter()

    def note(self, moment: Moment, name: str, number: int = 0, total: int = 0) -> None:
        """Write one line at once: the next moment may be the last."""
        line = Crossing(moment=moment, name=name, number=number, total=total).model_dump_json()
        os.write(self._trace, line.encode() + b"\n")

    async def around(self, name: str, effect: Callable[[], Awaitable[T]]) -> T:
        """Let an effect happen, with its two sides crossed."""
        task = asyncio.current_task()
        if task is not None and getattr(task.get_coro(), "__qualname__", "") == _BACKGROUND:
            name = f"(target) {name}"
        self._counts[name] += 1
        number, total = self._counts[name], self._counts.total()
        try:
            await self._cross("before", name, number, total)
            result = await effect()
            await self._cross("after", name, number, total)
        except BaseException:
            self.note(Moment.FAILED, name, number, total)
            raise
        return result

    async def _cross(self, side: Side, name: str, number: int, total: int) -> None:
        self._produce()
        self.note(Moment(side), name, number, total)
        for point in self._points:
            wanted = (point.name, point.number)
            if point.side == side and wanted in {(name, number), (None, total)}:
                await _strike(point.fault, lambda: self.note(Moment.HIT, name, number, total))

    def _produce(self) -> None:
        """Push a message as the application does, so that some are pushed between any two effects."""
        task = str(uuid4())
        with self._producer.pipeline() as both:
            both.rpush(PRODUCED, task)
            both.lpush("work", envelope(task, args=(LIVE,)))
            both.execute()


async def _strike(fault: Fault, note: Callable[[], None]) -> None:
    go = asyncio.Event()
    if fault is Fault.HOLD:
        # First: the harness may send the signal as soon as it reads of the hit.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, go.set)
    note()
    match fault:
        case Fault.DIE:
            os.kill(os.getpid(), signal.SIGKILL)
        case Fault.STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        case Fault.HOLD:
            await go.wait()


def install(environment: Mapping[str, str]) -> None:
    """Record every effect of this process from now on."""
    recorder = Recorder(environment)
    _record_kubernetes(recorder)
    _record_redis(recorder)
    _record_mongo(recorder)
    _record_work(recorder)


def _record_kubernetes(recorder: Recorder) -> None:
    request = aiohttp.ClientSession._request

    async def recorded(
        self: aiohttp.ClientSession,
        method: str,
        url: str,
        **options: Any,  # noqa: ANN401
    ) -> aiohttp.ClientResponse:
        body = options.get("json") or options.get("data")
        name = naming.of_kubernetes(method.upper(), urlsplit(str(url)).path, naming.parsed(body))
        if name is None:
            return await request(self, method, url, **options)
        return await recorder.around(name, lambda: request(self, method, url, **options))

    aiohttp.ClientSession._request = recorded  # type: ignore[assignment, method-assign]


def _record_redis(recorder: Recorder) -> None:
    execute: Callable[..., Awaitable[Any]] = AsyncRedis.execute_command

    async def recorded(self: AsyncRedis, *command: Any, **options: Any) -> Any:  # noqa: ANN401
        name = naming.of_redis(command)
        if name is None:
            return await execute(self, *command, **options)
        return await recorder.around(name, lambda: execute(self, *command, **options))

    AsyncRedis.execute_command = recorded  # type: ignore[method-assign]


def _record_mongo(recorder: Recorder) -> None:
    bulk_write, update_one = AsyncCollection.bulk_write, AsyncCollection.update_one

    async def recorded_bulk(self: AsyncCollection[Any], requests: Sequence[UpdateOne], **options: Any) -> Any:  # noqa: ANN401
        return await recorder.around(naming.of_mongo(requests[0]), lambda: bulk_write(self, requests, **options))

    async def recorded_one(self: AsyncCollection[Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        return await recorder.around("mongo check", lambda: update_one(self, *arguments, **options))

    AsyncCollection.bulk_write = recorded_bulk  # type: ignore[assignment, method-assign]
    AsyncCollection.update_one = recorded_one  # type: ignore[method-assign]


def _record_work(recorder: Recorder) -> None:
    receive = KubernetesResource.receive

    def received(self: KubernetesResource, body: Mapping[str, Any], *, gone: bool = False) -> None:
        receive(self, body, gone=gone)
        recorder.note(Moment.HEARD, json.dumps([self.desired.generation, self.desired.deleting]))

    async def worked(resource: Resource, environment: Environment, turn: Turn) -> Requeue | None:
        try:
            return await reconcile(resource, environment, turn)
        finally:
            recorder.note(Moment.IDLE, "work")

    KubernetesResource.receive = received  # type: ignore[method-assign]
    setattr(reconciler, "reconcile", worked)  # noqa: B010  # the name is the module's by import only
