"""Real servers of both kinds, an application that enqueues and holds messages by kombu, and the broker under test."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Run
from sandbox.broker import Broker as Server
from sandbox.broker import flavours
from sandbox.processes import Scope
from tests.broker.application import Application, recovery
from tests.broker.stuck_incident import Incident
from tests.redis_server import EACH_KIND

Connect = Callable[..., RedisBroker]

on_one_server = pytest.mark.parametrize("server", flavours()[:1], indirect=True)
"""For tests of what the operator itself does: its memory, its turns, its death after any command. What both kinds of
server answer, the others show."""


@pytest.fixture(scope="session")
async def servers() -> AsyncIterator[Scope]:
    """Where servers live that outlive a test."""
    async with Scope.open() as scope:
        yield scope


@pytest.fixture(scope="session", params=EACH_KIND)
async def server(request: pytest.FixtureRequest, servers: Scope) -> Server:
    """A server of each kind."""
    return await Server.start(servers, flavour=request.param)


@pytest.fixture
async def scope() -> AsyncIterator[Scope]:
    """Where servers live that a test treats badly."""
    async with Scope.open() as opened:
        yield opened


@pytest.fixture
async def redis(server: Server) -> AsyncIterator[Redis]:
    """The test's own view of the server, which is empty at first."""
    async with Redis.from_url(server.url) as client:
        await client.flushall()
        yield client


@pytest.fixture
async def connect(server: Server, redis: Redis) -> AsyncIterator[Connect]:
    """Make brokers on the server, each with connections of its own."""
    del redis
    brokers = []

    def connect(options: TransportOptions | None = None, *, url: str = server.url) -> RedisBroker:
        brokers.append(RedisBroker.connect(url, options or TransportOptions()))
        return brokers[-1]

    yield connect
    for broker in brokers:
        await broker.aclose()


@pytest.fixture
def broker(connect: Connect) -> RedisBroker:
    """The broker with Celery's defaults."""
    return connect()


@pytest.fixture
def application(server: Server, redis: Redis) -> Iterator[Application]:
    """A Celery application with default transport options, as far as the broker sees it."""
    del redis
    with ExitStack() as stack:
        yield stack.enter_context(Application.connected(server.url))


@pytest.fixture
def run() -> Run:
    """A recovery of the queue `tts`."""
    return recovery("tts")


@pytest.fixture
def incident(scope: Scope, broker: RedisBroker, server: Server, redis: Redis) -> Incident:
    """A queue `tts` of a target that is looked at; no worker runs yet."""
    return Incident(scope, broker, server, redis)
