"""Brokers and job stores can be started, killed, paused and restarted."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from pymongo import AsyncMongoClient
from pymongo.errors import NetworkTimeout, OperationFailure
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from sandbox.broker import Broker
from sandbox.job_store import JobStore, add_user
from sandbox.processes import ROOT, Scope, free_port, until
from tests.redis_server import EACH_KIND

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.broker import Flavour

pytestmark = pytest.mark.thorough  # every test that starts a sandbox shows that it works


@pytest.fixture
async def scope() -> AsyncIterator[Scope]:
    async with Scope.open() as opened:
        yield opened


@pytest.fixture(params=EACH_KIND)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    found: Flavour = request.param
    return found


async def ask(broker: Broker, *command: str, seconds: float = 10) -> object:
    """Send one command on a new connection, which no restart has interrupted; wait that long for its answer."""
    async with Redis.from_url(broker.url, socket_timeout=seconds, retry=Retry(NoBackoff(), 0)) as client:
        return await client.execute_command(*command)  # type: ignore[no-untyped-call] # redis-py has no types here


async def test_a_killed_broker_restarts_on_its_port_with_its_options_and_without_its_data(
    scope: Scope, flavour: Flavour
) -> None:
    broker = await Broker.start(scope, flavour=flavour, options=["--requirepass", "hush", "--maxmemory", "64mb"])
    await ask(broker, "SET", "key", "value")
    await broker.kill()
    with pytest.raises(RedisConnectionError):
        await ask(broker, "GET", "key")

    await broker.restart()

    assert await ask(broker, "GET", "key") is None
    assert await ask(broker, "CONFIG GET", "maxmemory") == {"maxmemory": str(64 * 2**20)}


async def test_a_broker_with_persistence_has_its_data_after_a_restart(scope: Scope, flavour: Flavour) -> None:
    broker = await Broker.start(scope, flavour=flavour, options=["--appendonly", "yes", "--appendfsync", "always"])
    await ask(broker, "SET", "key", "value")
    await broker.kill()
    await broker.restart()

    assert await ask(broker, "GET", "key") == b"value"


async def test_a_paused_broker_does_not_answer_until_it_is_resumed(scope: Scope, flavour: Flavour) -> None:
    broker = await Broker.start(scope, flavour=flavour)
    await ask(broker, "SET", "key", "value")
    broker.pause()
    with pytest.raises(RedisTimeoutError):
        await ask(broker, "GET", "key", seconds=0.3)

    broker.resume()

    assert await ask(broker, "GET", "key") == b"value"


async def test_sentinels_and_replicas_are_brokers_with_other_options(scope: Scope, flavour: Flavour) -> None:
    primary = await Broker.start(scope, flavour=flavour)
    replica = await Broker.start(scope, flavour=flavour, options=["--replicaof", "127.0.0.1", str(primary.port)])
    monitor = ["--sentinel", "monitor", "main", "127.0.0.1", str(primary.port), "1"]
    fast = ["--sentinel", "down-after-milliseconds", "main", "1000"]
    watch = await Broker.start(scope, flavour=flavour, options=["--sentinel", *monitor, *fast])

    async def knows_the_replica() -> bool:
        return bool(await ask(watch, "SENTINEL REPLICAS", "main"))

    await until(knows_the_replica, "the sentinel to find the replica", of=watch.process)
    await primary.kill()

    async def promoted() -> bool:
        try:
            return "'role': 'master'" in str(await ask(replica, "INFO", "replication"))
        except RedisConnectionError:  # a Sentinel that promotes a replica closes its clients' connections
            return False

    await until(promoted, "the replica to become the primary", of=watch.process)
    await ask(replica, "SET", "key", "value")


async def test_a_killed_job_store_restarts_on_its_port_with_all_acknowledged_writes(scope: Scope) -> None:
    port = free_port()
    store = await JobStore.start(scope, port=port)
    async with AsyncMongoClient[dict[str, Any]](store.url, serverSelectionTimeoutMS=5000, w="majority") as client:
        jobs = client.app.jobs
        for number in range(40):
            await jobs.insert_one({"_id": number})
        await store.kill()

        await store.restart()

        assert await jobs.count_documents({}) == 40
    assert store.port == port


async def test_a_paused_job_store_does_not_answer_until_it_is_resumed(scope: Scope) -> None:
    store = await JobStore.start(scope)
    async with AsyncMongoClient[dict[str, Any]](store.url, retryReads=False, socketTimeoutMS=300) as client:
        await client.app.jobs.insert_one({"_id": 1})
        store.pause()

        async def silent() -> bool:
            try:
                await client.app.jobs.find_one()
            except NetworkTimeout:
                return True
            return False

        await until(silent, "its last thread to stop")

        store.resume()

        assert await client.app.jobs.find_one() == {"_id": 1}


async def test_a_job_store_with_authentication_grants_users_their_roles_even_after_a_restart(
    scope: Scope,
) -> None:
    store = await JobStore.start(scope, authentication=True)
    privilege = {"resource": {"db": "app", "collection": "jobs"}, "actions": ["find"]}
    url = await add_user(store.url, "r/w", "p@ss:word", database="app", privileges=[privilege])
    await store.kill()
    await store.restart()

    async with AsyncMongoClient[dict[str, Any]](f"mongodb://127.0.0.1:{store.port}") as stranger:
        with pytest.raises(OperationFailure, match="requires authentication"):
            await stranger.app.jobs.find_one()
    async with AsyncMongoClient[dict[str, Any]](url) as reader:
        assert await reader.app.jobs.find_one() is None
        with pytest.raises(OperationFailure, match="not authorized"):
            await reader.app.jobs.insert_one({})


def test_no_code_of_this_project_imports_the_job_stores_server() -> None:
    importing = re.compile(r"^\s*(?:import|from) (\w+)", re.MULTILINE)
    imported = {
        name
        for room in ("operator", "sandbox", "demo", "benchmarks", "examples", "tests")
        for path in (ROOT / room).rglob("*.py")
        for name in importing.findall(path.read_text())
    }

    assert "pymongo" in imported
    assert "secantus" not in imported
