"""Every effect of the operator, recorded where its drivers send it: named, numbered, and a point to hit it at.

Runs in the operator's process, which it changes at a few places: the method through which all writes to the API server
go (kopf's and the client's), the one for commands of Redis, the two writes of the MongoDB driver, and the type of what
these write, which shows its parts then.
"""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
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
from queue_recovery.jobs import claims
from queue_recovery.recovery.ports.environment import Environment
from queue_recovery.recovery.ports.resource import Resource
from queue_recovery.recovery.preparing import Requeue
from queue_recovery.recovery.reconcile import reconcile
from queue_recovery.recovery.turn import Turn
from tests.chaos import naming
from tests.chaos.points import POINTS, PRODUCER, TRACE, About, Crossing, Fault, Moment, Point, Side
from tests.e2e.team import envelope

T = TypeVar("T")

LIVE = "live"
"""The job that all messages belong to which are produced while the operator works."""
PRODUCED = "produced"
"""Key of the list of their task ids."""

_BACKGROUND = "TargetMonitor._monitor"


_BY: ContextVar[str] = ContextVar("by", default="")
"""UID of the recovery that is worked on; tasks that a step starts have it too."""


class Recorder:
    """Counts effects, records them, and injects the faults at the points."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take the points, the trace and the producer from the environment."""
        self._points = TypeAdapter(list[Point]).validate_json(environment.get(POINTS, "[]"))
        self._trace = os.open(environment[TRACE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._producer = Redis.from_url(environment[PRODUCER])
        self._counts: Counter[str] = Counter()

    def note(self, crossing: Crossing) -> None:
        """Write one line at once: the next moment may be the last."""
        line = crossing.model_copy(update={"time": time.monotonic(), "by": _BY.get()}).model_dump_json()
        os.write(self._trace, line.encode() + b"\n")

    async def around(
        self, name: str, about: About, effect: Callable[[], Awaitable[T]], answer: Callable[[T], str] = lambda _: ""
    ) -> T:
        """Let an effect happen, with its two sides crossed."""
        task = asyncio.current_task()
        if task is not None and getattr(task.get_coro(), "__qualname__", "") == _BACKGROUND:
            name = f"(target) {name}"
        self._counts[name] += 1
        known = Crossing(
            moment=Moment.BEFORE, name=name, number=self._counts[name], total=self._counts.total(), about=about
        )
        try:
            await self._cross("before", known)
            result = await effect()
            await self._cross("after", known.model_copy(update={"answer": answer(result)}))
        except BaseException:
            self.note(known.model_copy(update={"moment": Moment.FAILED}))
            raise
        return result

    async def _cross(self, side: Side, known: Crossing) -> None:
        self._produce()
        self.note(known.model_copy(update={"moment": Moment(side)}))
        for point in self._points:
            wanted = (point.name, point.number)
            if point.side == side and wanted in {(known.name, known.number), (None, known.total)}:
                await _strike(point.fault, lambda: self.note(known.model_copy(update={"moment": Moment.HIT})))

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


class _Requested:
    """A request that is recorded, awaited or entered as those of `aiohttp.ClientSession.request` are."""

    def __init__(self, response: Awaitable[aiohttp.ClientResponse]) -> None:
        self._awaited = response

    def __await__(self) -> Generator[Any, None, aiohttp.ClientResponse]:
        return self._awaited.__await__()

    async def __aenter__(self) -> aiohttp.ClientResponse:
        self._entered = await self._awaited
        return self._entered

    async def __aexit__(self, *_: object) -> None:
        self._entered.release()
        await self._entered.wait_for_close()


def _record_kubernetes(recorder: Recorder) -> None:
    request = aiohttp.ClientSession.request

    def recorded(self: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Any:  # noqa: ANN401
        path, body = urlsplit(str(url)).path, naming.parsed(options.get("json") or options.get("data"))
        name = naming.of_kubernetes(method.upper(), path, body)
        if name is None:
            return request(self, method, url, **options)
        about = naming.about_kubernetes(path, body)
        return _Requested(
            recorder.around(name, about, lambda: request(self, method, url, **options), lambda got: str(got.status))
        )

    aiohttp.ClientSession.request = recorded  # type: ignore[assignment, method-assign]


def _record_redis(recorder: Recorder) -> None:
    execute: Callable[..., Awaitable[Any]] = AsyncRedis.execute_command

    async def recorded(self: AsyncRedis, *command: Any, **options: Any) -> Any:  # noqa: ANN401
        name = naming.of_redis(command)
        if name is None:
            return await execute(self, *command, **options)
        about = naming.about_redis(command)
        return await recorder.around(name, about, lambda: execute(self, *command, **options), _first_words)

    AsyncRedis.execute_command = recorded  # type: ignore[method-assign]


def _first_words(answer: object) -> str:
    words = answer if isinstance(answer, list) else [answer]
    return " ".join(word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in words[:2])


class _Write(UpdateOne):
    """A write whose parts can be read."""

    def __init__(self, query: Mapping[str, Any], update: Mapping[str, Any]) -> None:
        super().__init__(query, update)
        self.query, self.update = query, update


def _record_mongo(recorder: Recorder) -> None:
    bulk_write, update_one = AsyncCollection.bulk_write, AsyncCollection.update_one

    async def recorded_bulk(self: AsyncCollection[Any], requests: Sequence[_Write], **options: Any) -> Any:  # noqa: ANN401
        about = naming.about_mongo([(one.query, one.update) for one in requests])
        name = naming.of_mongo(requests[0].update)
        return await recorder.around(name, about, lambda: bulk_write(self, requests, **options))

    async def recorded_one(self: AsyncCollection[Any], *arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        return await recorder.around("mongo check", About(), lambda: update_one(self, *arguments, **options))

    setattr(claims, "UpdateOne", _Write)  # noqa: B010  # the name is the module's by import only
    AsyncCollection.bulk_write = recorded_bulk  # type: ignore[assignment, method-assign]
    AsyncCollection.update_one = recorded_one  # type: ignore[method-assign]


def _record_work(recorder: Recorder) -> None:
    receive = KubernetesResource.receive

    def received(self: KubernetesResource, body: Mapping[str, Any], *, gone: bool = False) -> None:
        receive(self, body, gone=gone)
        heard = json.dumps([self.desired.generation, self.desired.deleting])
        recorder.note(Crossing(moment=Moment.HEARD, name=heard, about=About(runs=(self.uid,))))

    async def worked(resource: Resource, environment: Environment, turn: Turn) -> Requeue | None:
        known = _BY.set(resource.uid)
        try:
            return await reconcile(resource, environment, turn)
        finally:
            recorder.note(Crossing(moment=Moment.IDLE, name="work"))
            _BY.reset(known)

    KubernetesResource.receive = received  # type: ignore[method-assign]
    setattr(reconciler, "reconcile", worked)  # noqa: B010  # the name is the module's by import only
