"""Every way out brings the workers back, and only one recovery works on a queue at a time."""

import json
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from sandbox.broker import Broker
from sandbox.processes import until
from tests.e2e.team import Team, condition, envelope
from tests.held import NOTE


@pytest_asyncio.fixture(loop_scope="session")
async def own_broker(team: Team) -> AsyncIterator[Broker]:
    """A broker of the team's own, which a test may kill."""
    broker = await team.sandbox.start_broker(options=["--save", "", "--appendonly", "yes"])
    await team.redis.aclose()
    team.broker_url = broker.url
    team.redis = Redis.from_url(broker.url)
    await team.secrets()
    yield broker
    await team.redis.aclose()


async def _unlocked(team: Team) -> bool:
    labels = (await team.get("Deployment", "worker"))["metadata"].get("labels", {})
    return NOTE.isdisjoint(labels) and await team.redis.keys("queuerecovery.dev:lock:*") == []


async def test_redis_away_never_delays_the_workers(team: Team, own_broker: Broker) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.recovery()
    await _scaled_to(team, 0)
    await own_broker.stop()
    await team.change(cancel=True)
    await _scaled_to(team, 2)
    status = await team.status()
    assert condition(status, "Succeeded").get("status") == "Unknown"
    await team.waits("BrokerUnavailable")
    await own_broker.restart()
    await team.redis.connection_pool.disconnect()
    await team.reached("Cancelled")
    assert await _unlocked(team)


@pytest.mark.thorough
async def test_what_a_leader_leaves_that_is_killed_is_finished_by_the_one_that_stood_by(team: Team) -> None:
    await team.stubborn_workers(grace=15)
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    jobs = [await team.failed_job() for _ in range(3)]
    await team.recovery(jobs=[{"id": job} for job in jobs])
    await _scaled_to(team, 0)
    leader = await _leader(team)
    await team.sandbox.signal_container("queue-recovery", leader, "operator", signal.SIGKILL)

    async def followed() -> bool:
        return await _leader(team) not in {"", leader}

    await until(followed, "the other one to lead")
    status = await team.reached("Succeeded")
    assert status["messages"]["quarantined"] == 1
    ids = [json.loads(one)["headers"]["id"] for one in await team.queued()]
    assert sorted(ids) == sorted([(await team.job(job))["task_id"] for job in jobs])
    assert await team.replicas() == 2


async def _leader(team: Team) -> str:
    """Return the name of the operator's pod that leads."""
    lease = await team.api.get("/apis/coordination.k8s.io/v1/namespaces/queue-recovery/leases/queue-recovery")
    return str(lease["spec"].get("holderIdentity") or "").partition("_")[0]


async def _scaled_to(team: Team, replicas: int) -> None:
    async def there() -> bool:
        return await team.replicas() == replicas

    await until(there, f"the worker's replicas to be {replicas}")
