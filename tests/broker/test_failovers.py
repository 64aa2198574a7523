"""Sentinels, and what a failover does to a recovery, wherever it comes."""

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager

import pytest
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import BrokerHealth
from sandbox.processes import Scope
from sandbox.sentinels import NAME, Watched, ask
from tests.broker.application import Application, everything, recovery, seen_jobs
from tests.broker.interleaving import GOOD, POISON, STEPS, before, conserved, end, enqueue, recover, selected

pytestmark = pytest.mark.thorough

OPTIONS = TransportOptions(master_name=NAME)


@pytest.fixture(scope="module")
async def watched(servers: Scope) -> Watched:
    return await Watched.start(servers)


@pytest.fixture
async def broker(watched: Watched) -> AsyncIterator[RedisBroker]:
    """A broker behind Sentinels, and a primary and a replica that are empty."""
    await ask(watched.primary, "FLUSHALL")
    await watched.follow()
    broker = RedisBroker.connect(watched.url, OPTIONS)
    yield broker
    await broker.aclose()


def connected(watched: Watched) -> AbstractContextManager[Application]:
    """Return an application that reaches the queue by the same URL."""
    return Application.connected(watched.url, master_name=NAME)


async def test_it_is_found_by_the_url_and_the_name_that_the_application_has(
    watched: Watched, broker: RedisBroker
) -> None:
    with connected(watched) as application:
        enqueue(application)

    assert await broker.check() == BrokerHealth(eviction_policy="noeviction")
    assert await broker.depths(["tts"]) == ({"tts": 4}, 4)


@pytest.mark.parametrize("step", STEPS)
async def test_a_failover_before_any_script_is_not_noticed_and_nothing_goes_to_the_old_primary(
    watched: Watched, broker: RedisBroker, step: Script
) -> None:
    run = selected()
    with connected(watched) as application:
        enqueue(application)
    left: dict[bytes, object] = {}

    async def fail_over() -> None:
        await watched.replicated()
        await watched.fail_over()
        async with Redis(port=watched.replica.port, protocol=2) as old:
            left.update(await everything(old))

    with before(broker, {step: fail_over}):
        await recover(broker, run)

    found = await conserved(watched.primary, run)
    assert sorted(found["quarantine"]) == POISON
    assert sorted(found["queue"] + found["unacked"]) == sorted([*GOOD, "new-0", "new-1"])
    assert (await ask(watched.replica, "ROLE"))[0] == b"master", "the old primary would have taken writes"
    async with Redis(port=watched.replica.port, protocol=2) as old:
        assert await everything(old) == left


@pytest.mark.parametrize(
    ("last", "step"), [(last, step) for n, last in enumerate(STEPS) for step in STEPS[n + 1 :]], ids=str
)
async def test_what_the_replica_had_not_got_is_done_again_or_told_as_lost_and_nothing_is_there_twice(
    watched: Watched, broker: RedisBroker, last: Script, step: Script
) -> None:
    run = selected()
    with connected(watched) as application:
        enqueue(application)

    async def stop_replicating() -> None:
        await watched.replicated()
        await ask(watched.replica, "REPLICAOF", "NO", "ONE")

    async def fail_over() -> None:
        await watched.watch(watched.replica)

    told = None
    try:
        with before(broker, {last: stop_replicating, step: fail_over}):
            closed, _ = await recover(broker, run)
    except RecoveryError as error:
        told = error.reason
        await conserved(watched.primary, run)
        closed = await end(broker, run)

    assert told in (None, "BrokerLostData")
    assert told is None or not closed.was_purged or len(closed.pushed) < 2
    found = await conserved(watched.primary, run)
    assert closed.pushed == {f"{n}:int:{n}" for n in range(2) if f"new-{n}" in found["queue"]}
    assert sorted(found["quarantine"]) == (POISON if closed.was_purged else [])
    assert not await broker.holders("tts")


@pytest.mark.parametrize("is_late", [False, True], ids=["before the take", "before the boundary"])
async def test_jobs_that_were_frozen_on_the_old_primary_alone_are_told_as_lost_and_nothing_is_taken(
    watched: Watched, broker: RedisBroker, *, is_late: bool
) -> None:
    run, jobs = recovery("tts"), seen_jobs("done", "gone", recoverable=False)
    with connected(watched) as application:
        application.enqueue("tts", "done", "poison")
    await broker.run(run).open()
    await watched.replicated()
    await ask(watched.replica, "REPLICAOF", "NO", "ONE")
    await broker.run(run).freeze({run.queue: jobs})

    async def fail_over() -> None:
        await watched.watch(watched.replica)

    if not is_late:
        await fail_over()
    with (
        before(broker, {Script.BOUNDARY: fail_over} if is_late else {}),
        pytest.raises(RecoveryError, match="lost what this recovery had written"),
    ):
        await broker.run(run).take(frozen=jobs)
    assert not (await broker.run(run).close()).was_purged

    with connected(watched) as application:
        assert application.consume("tts") == ["done", "poison"]
