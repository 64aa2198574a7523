"""Servers and networks that fail when it is a script's turn: what waits, what goes on, and that nothing is lost."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection import connecting
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from sandbox.broker import Broker as Server
from sandbox.processes import LOOPBACK, Scope, free_port, until
from tests.broker import documented
from tests.broker.application import Application
from tests.broker.interleaving import POISON, STEPS, before, conserved, end, enqueue, recover, selected
from tests.broker.test_commands_sent import READS, WRITES, whole_life
from tests.chaos.proxy import Network, Proxy
from tests.redis_server import needs_redis

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "operator/queue_recovery/broker/scripts"


@pytest.fixture
async def proxy(server: Server) -> AsyncIterator[Proxy]:
    """The network to the server."""
    async with Proxy.open(server.port) as opened:
        yield opened


@pytest.fixture
async def broker(proxy: Proxy, redis: Redis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RedisBroker]:
    """The broker behind it."""
    del redis
    monkeypatch.setattr(connecting, "_RETRIES", 1)
    broker = RedisBroker.connect(f"redis://{LOOPBACK}:{proxy.port}/0", TransportOptions())
    yield broker
    await broker.aclose()


@pytest.mark.parametrize("network", [Network.CUT, Network.DEAF])
@pytest.mark.parametrize("step", STEPS)
async def test_a_connection_that_is_cut_before_or_after_any_script_arrives_changes_nothing(
    broker: RedisBroker, application: Application, server: Server, proxy: Proxy, step: Script, network: Network
) -> None:
    run = selected()
    enqueue(application)

    async def cut() -> None:
        proxy.become(network)

    async def heal() -> None:
        proxy.become(Network.OPEN)

    with before(broker, {step: cut}):
        closed, waited = await recover(broker, run, heal)

    assert [error.reason for error in waited] == ["BrokerUnavailable"]
    assert sorted((await conserved(server, run))["quarantine"]) == POISON
    assert len(closed.pushed) == 2


@pytest.mark.parametrize("step", STEPS)
async def test_a_primary_that_becomes_a_replica_is_waited_for_before_any_script(
    broker: RedisBroker, application: Application, server: Server, redis: Redis, step: Script
) -> None:
    run = selected()
    enqueue(application)

    async def demote() -> None:
        await redis.replicaof(LOOPBACK, str(free_port()))

    async def promote() -> None:
        await redis.replicaof("NO", "ONE")

    with before(broker, {step: demote}):
        closed, waited = await recover(broker, run, promote)

    assert [error.reason for error in waited] == ["BrokerReadOnly"]
    assert sorted((await conserved(server, run))["quarantine"]) == POISON
    assert len(closed.pushed) == 2


@pytest.mark.parametrize("step", STEPS)
async def test_on_a_server_that_is_full_only_new_jobs_wait(
    broker: RedisBroker, application: Application, server: Server, redis: Redis, step: Script
) -> None:
    run = selected()
    enqueue(application)

    async def fill() -> None:
        await redis.config_set("maxmemory", 1)

    async def free() -> None:
        assert await redis.hget(f"queuerecovery.dev:run:{run.uid}", "complete") == b"1"
        assert not [name for name in (await conserved(server, run))["queue"] if name.startswith("new-")]
        await redis.config_set("maxmemory", 0)

    try:
        with before(broker, {step: fill}):
            closed, waited = await recover(broker, run, free)
    finally:
        await redis.config_set("maxmemory", 0)

    late = STEPS.index(step) > STEPS.index(Script.PUSH)
    assert [(error.reason, "maxmemory" in error.message) for error in waited] == [("BrokerReadOnly", True)][late:]
    assert sorted((await conserved(server, run))["quarantine"]) == POISON
    assert len(closed.pushed) == 2


@pytest.mark.parametrize("step", [Script.MOVE_UNACKED, Script.BOUNDARY, Script.PUSH])
async def test_a_recovery_that_is_given_up_on_a_full_server_finishes(
    broker: RedisBroker, application: Application, server: Server, redis: Redis, step: Script
) -> None:
    run = selected()
    enqueue(application)

    async def fill_and_give_up() -> None:
        await redis.config_set("maxmemory", 1)
        raise RecoveryError(Reason.ACTIVE_DEADLINE_EXCEEDED, "given up")

    try:
        with before(broker, {step: fill_and_give_up}), pytest.raises(RecoveryError, match="given up"):
            await recover(broker, run)
        closed = await end(broker, run)
    finally:
        await redis.config_set("maxmemory", 0)

    found = await conserved(server, run)
    assert sorted(found["quarantine"]) == (POISON if closed.was_purged else [])
    assert closed.was_purged == (step is Script.PUSH)
    assert not await broker.holders("tts")


@needs_redis
async def test_a_server_that_loads_its_data_is_waited_for(scope: Scope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_RETRIES", 0)
    slow = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
    server = await Server.start(scope, flavour="redis", options=slow)
    async with Redis.from_url(server.url) as redis:
        for n in range(100):
            await redis.set(f"key{n}", "x" * 2000)
        await redis.execute_command("SAVE")  # type: ignore[no-untyped-call]
    await server.kill()
    restarting = asyncio.ensure_future(server.restart())
    broker = RedisBroker.connect(server.url, TransportOptions())

    async def loading() -> bool:
        try:
            await broker.check()
        except RecoveryError as error:
            return error.reason == "BrokerUnavailable" and "loading" in error.message
        return False

    await until(loading, "the server to be named as loading")
    await restarting
    assert (await broker.check()).eviction_policy == "noeviction"
    await broker.aclose()


async def test_a_replica_without_its_primary_that_answers_nothing_is_named_so(scope: Scope) -> None:
    options = ["--replicaof", LOOPBACK, str(free_port()), "--replica-serve-stale-data", "no"]
    replica = await Server.start(scope, options=options)
    broker = RedisBroker.connect(replica.url, TransportOptions())

    with pytest.raises(RecoveryError, match="lost its primary") as refused:
        await broker.holders("tts")

    assert refused.value.reason == "BrokerUnavailable"
    await broker.aclose()


def test_preflight_tries_every_command_on_keys_that_is_ever_sent() -> None:
    called = {
        name
        for script in SCRIPTS.glob("*.lua")
        for name in re.findall(r"redis\.p?call\('([A-Z]+)'", script.read_text())
    }
    tried = set(re.findall(r"\{'([A-Z]+)', probe", (SCRIPTS / "permissions.lua").read_text()))

    assert called
    assert called | READS | WRITES == tried | {"PING", "INFO", "EVAL"}


async def test_the_rule_in_the_documentation_is_enough_for_a_whole_life(
    server: Server, redis: Redis, application: Application
) -> None:
    rules = documented.rules()
    assert {word[1:].upper() for word in rules if word.startswith("+")} >= READS | WRITES
    await redis.execute_command("ACL", "SETUSER", "queue-recovery", *rules)  # type: ignore[no-untyped-call]
    enqueue(application)
    broker = RedisBroker.connect(f"redis://queue-recovery:PASSWORD@{LOOPBACK}:{server.port}/0", TransportOptions())

    await whole_life(broker, selected())

    assert (await broker.check()).eviction_policy == "noeviction"
    await broker.aclose()
    await redis.acl_deluser("queue-recovery")
