"""Every way out brings the workers back, and only one recovery works on a queue at a time."""

import json
import signal
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from bson import ObjectId
from pymongo import AsyncMongoClient
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


async def test_a_cancel_while_the_workers_stop_brings_them_back_and_leaves_the_messages(team: Team) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    await team.recovery()
    await team.reached("Draining")
    await _scaled_to(team, 0)
    await team.change(cancel=True)
    status = await team.reached("Cancelled")
    assert await team.replicas() == 2
    assert len(await team.queued()) == 1
    assert condition(status, "Succeeded")["reason"] == "CancelRequested"
    assert status["message"].endswith(". Done before that: workers scaled back")
    assert await _unlocked(team)


async def test_deleting_a_running_recovery_brings_the_workers_back_first(team: Team) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.recovery()
    await team.reached("Draining")
    await _scaled_to(team, 0)
    await team.kubectl("delete", "qr", "stuck", "--timeout=30s")
    assert await team.replicas() == 2
    assert await _unlocked(team)


async def test_a_drain_that_takes_too_long_fails_and_brings_the_workers_back(team: Team) -> None:
    await team.stubborn_workers()
    await team.target()
    job = await team.failed_job()
    await team.recovery(activeDeadlineSeconds=2, jobs=[{"id": job}])
    status = await team.reached("Failed")
    assert condition(status, "Succeeded")["reason"] == "ActiveDeadlineExceeded"
    assert 'waiting for the last pod of "worker"' in status["message"]
    assert await team.replicas() == 2
    assert [(row["id"], row["reason"]) for row in status["skipped"]] == [(job, "NotAttempted")]
    assert (await team.job(job))["status"] == "failed"


async def test_a_recovery_that_asks_for_a_year_gets_no_more_time_than_its_target_allows(team: Team) -> None:
    await team.stubborn_workers()
    await team.target(limits={"startingDeadlineSeconds": 6, "activeDeadlineSeconds": 2})
    year = {"startingDeadlineSeconds": 31536000, "activeDeadlineSeconds": 31536000}

    await team.redis.set("queuerecovery.dev:lock:work", "another")
    await team.recovery(**year)
    status = await team.reached("Failed")

    assert "did not start within 6 s" in status["message"]
    await team.redis.delete("queuerecovery.dev:lock:work")
    await team.recovery("second", **year)
    status = await team.reached("Failed", "second")
    assert "did not finish within 2 s of the drain" in status["message"]
    assert await team.replicas() == 2
    assert await _unlocked(team)


async def test_a_second_recovery_of_the_queue_waits_for_the_first_and_starts_when_it_ends(team: Team) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.recovery("first")
    await team.reached("Draining", "first")
    await team.recovery("second")
    assert f"{team.namespace}/first" in await team.waits("Locked", "second")
    async with team.workers_end():
        await team.reached("Succeeded", "first")
        await team.reached("Succeeded", "second")
    assert await team.replicas() == 2


async def test_a_recovery_of_another_queue_of_the_same_deployment_waits_too(team: Team) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.kubectl(
        "patch",
        "qt",
        "team",
        "--type=json",
        "--patch",
        json.dumps([{"op": "add", "path": "/spec/queues/-", "value": {"name": "b", "workers": [{"name": "worker"}]}}]),
    )
    await team.recovery("first")
    await _scaled_to(team, 0)
    await team.redis.lpush("b", envelope("b", queue="b"))
    await team.recovery("second", queue="b")
    message = await team.waits("Locked", "second")
    assert 'Deployment "worker"' in message
    assert f"{team.namespace}/first" in message
    async with team.workers_end():
        await team.reached("Succeeded", "first")
        await team.reached("Succeeded", "second")
    assert await team.replicas() == 2


async def test_redis_away_in_the_middle_is_waited_for(team: Team, own_broker: Broker) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    job = await team.failed_job()
    await team.recovery(jobs=[{"id": job}])
    await _scaled_to(team, 0)
    await own_broker.stop()
    async with team.workers_end():
        await team.waits("BrokerUnavailable")
        await own_broker.restart()
        status = await team.reached("Succeeded")
    assert status["messages"]["quarantined"] == 1
    assert status["jobs"]["progress"] == "1/1"


async def test_mongodb_away_in_the_middle_is_waited_for(team: Team) -> None:
    store = await team.sandbox.start_job_store()
    await team.secrets(mongo=store.url)
    await team.stubborn_workers()
    await team.target()
    mongo: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(store.url)
    async with mongo:
        jobs = mongo[team.jobs.database.name][team.jobs.name]
        await jobs.insert_one({"_id": ObjectId("662f1c0e9d3e4b0001a1b2c3"), "status": "failed", "task_id": "old"})
        await team.recovery(jobs=[{"id": "662f1c0e9d3e4b0001a1b2c3"}])
        await _scaled_to(team, 0)
        await store.stop()
        async with team.workers_end():
            await team.waits("JobStoreUnavailable")
            await store.restart()
            status = await team.reached("Succeeded")
        assert status["jobs"]["progress"] == "1/1"
        (message,) = [json.loads(one) for one in await team.queued()]
        found = await jobs.find_one({"status": "pending"})
        assert found is not None
        assert found["task_id"] == message["headers"]["id"]


@pytest.mark.usefixtures("own_broker")
async def test_a_broker_that_lost_its_data_ends_it_and_names_the_jobs_in_doubt(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    jobs = [await team.failed_job() for _ in range(60)]
    await team.recovery(reenqueue={"ratePerSecond": 1}, jobs=[{"id": job} for job in jobs])

    async def some_are_enqueued() -> bool:
        return (await team.status()).get("phase") == "Reenqueuing" and bool(await team.queued())

    await until(some_are_enqueued, "the first job to be enqueued")
    await team.redis.flushdb()
    status = await team.reached("Failed")
    assert condition(status, "Succeeded")["reason"] == "BrokerLostData"
    claimed = {job: document["task_id"] for job in jobs if (document := await team.job(job))["status"] == "pending"}
    assert 1 <= len(claimed) < len(jobs)
    reasons = {job: "InDoubt" if job in claimed else "NotAttempted" for job in jobs}
    assert {row["id"]: row["reason"] for row in status["skipped"]} == reasons
    assert all(claimed[row["id"]] in row["message"] for row in status["skipped"] if row["id"] in claimed)
    assert f"{len(claimed)} job" in status["message"]
    assert await team.replicas() == 2


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


async def test_a_worker_that_somebody_scales_up_during_the_drain_is_stopped_again(team: Team) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.recovery()
    await _scaled_to(team, 0)
    await team.kubectl("scale", "deployment/worker", "--replicas=2")
    await _scaled_to(team, 0)
    async with team.workers_end():
        await team.reached("Succeeded")
    assert await team.replicas() == 2


async def test_workers_that_come_up_before_the_boundary_are_stopped_and_the_queue_is_swept_again(
    team: Team, own_broker: Broker
) -> None:
    await team.stubborn_workers()
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    await team.recovery()
    await _scaled_to(team, 0)
    own_broker.pause()
    async with team.workers_end():
        await team.reached("Purging")
        await team.kubectl("scale", "deployment/worker", "--replicas=1")
        await team.kubectl("rollout", "status", "deployment/worker")
        own_broker.resume()
        status = await team.reached("Succeeded")
    assert status["purge"]["attempt"] == 2
    assert status["messages"]["quarantined"] == 1
    assert await team.replicas() == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_what_a_leader_leaves_that_is_killed_or_stopped_is_finished_by_the_one_that_stood_by(
    team: Team, number: signal.Signals
) -> None:
    await team.stubborn_workers(grace=15)
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    jobs = [await team.failed_job() for _ in range(3)]
    await team.recovery(jobs=[{"id": job} for job in jobs])
    await _scaled_to(team, 0)
    leader = await _leader(team)
    await team.sandbox.signal_container("queue-recovery", leader, "operator", number)

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
    holder = await team.sandbox.kubectl(
        "-n", "queue-recovery", "get", "lease", "queue-recovery", "-o", "jsonpath={.spec.holderIdentity}"
    )
    return holder.partition("_")[0]


async def _scaled_to(team: Team, replicas: int) -> None:
    async def there() -> bool:
        return await team.replicas() == replicas

    await until(there, f"the worker's replicas to be {replicas}")
