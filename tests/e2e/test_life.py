"""A recovery's life, as its user sees it, on real parts."""

import json
import time
from base64 import b64decode

import pytest

from sandbox.processes import until
from tests.e2e.team import CELERY, Team, condition, envelope


async def test_a_poisoned_queue_of_real_workers_is_recovered_and_every_job_runs_once(team: Team) -> None:
    poison = [f"poison-{n}" for n in range(4)]
    jobs = [await team.failed_job(task_id=task_id) for task_id in poison]
    await team.target()
    for task_id, job in zip(poison, jobs, strict=True):
        await team.redis.lpush("work", envelope(task_id, args=(job, ["not", 1, "text"])))
    await team.workers(command=CELERY)

    async def all_failed_twice() -> bool:
        return all([len(await team.runs(job)) >= 2 for job in jobs])

    await until(all_failed_twice, "every poisoned task to fail twice")
    await team.recovery(jobs=[{"id": job} for job in jobs])
    status = await team.reached("Succeeded")

    async def all_ran() -> bool:
        # Under its new task id: a last run of the old message may come after any look at the old ones.
        return all([(await team.job(job))["task_id"] in await team.runs(job) for job in jobs])

    await until(all_ran, "every job to run as its new task")
    for job in jobs:
        document = await team.job(job)
        fresh = [task for task in await team.runs(job) if task not in poison]
        assert fresh == [document["task_id"]]
        assert document["status"] == "pending"
    assert status["jobs"] == {"total": 4, "enqueued": 4, "skipped": 0, "progress": "4/4"}
    assert status["messages"]["found"] == status["messages"]["quarantined"] == 4
    assert await team.replicas() == 2
    assert await team.queued() == []


async def test_what_is_shown_at_a_glance(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.redis.lpush("work", *(envelope(f"t{n}") for n in range(5)))
    job = await team.failed_job()
    await team.recovery(jobs=[{"id": job}])
    await team.reached("Succeeded")
    await team.told("Completed")
    header, row = (await team.kubectl("get", "queuerecoveries")).splitlines()
    assert header.split() == ["NAME", "QUEUE", "PHASE", "REASON", "PURGED", "RE-ENQUEUED", "AGE"]
    assert row.split()[:6] == ["stuck", "work", "Succeeded", "Completed", "5", "1/1"]
    wide = await team.kubectl("get", "qr", "-o", "wide")
    assert "5 messages quarantined; 1 of 1 job enqueued" in wide
    described = await team.kubectl("describe", "qr", "stuck")
    for reason in ("Planned", "Draining", "Purging", "Restarting", "Reenqueuing", "Completed"):
        assert reason in described


async def test_the_target_shows_what_people_ask_keys_and_llen_for(team: Team) -> None:
    await team.workers()
    await team.target()
    an_hour_ago = time.time() - 3600
    async with team.redis.pipeline() as at_once:  # the operator looks each second
        at_once.lpush("work", *(envelope(f"t{n}") for n in range(3)))
        at_once.lpush("work\x06\x163", envelope("low"))
        for number, queue in enumerate(["work", "work", "elsewhere"]):
            at_once.hset("unacked", f"tag-{number}", json.dumps([{}, "", queue]))
            at_once.zadd("unacked_index", {f"tag-{number}": an_hour_ago + number})
        await at_once.execute()

    async def shown() -> bool:
        row = (await team.kubectl("get", "qt", "--no-headers")).split()
        # Before the workers' pods were started.
        return row[:7] == ["team", "Usable", "Reachable", "Reachable", "work=4+2", "StrandedMessages", "60m"]

    await until(shown, "the depth of the queue, and why it is stuck, in kubectl get qt")
    await team.told("StrandedMessages", "team")
    status = (await team.get("QueueTarget", "team"))["status"]
    assert status["unacked"] == 3
    assert {c["type"]: c["status"] for c in status["conditions"]} == {
        "Ready": "True",
        "BrokerReachable": "True",
        "JobStoreReachable": "True",
        "WorkersFound": "True",
        "Permitted": "True",
        "EvictionSafe": "True",
        "TransportVerified": "False",  # redis:// and mongodb:// without TLS
        "Stuck": "True",
    }
    [cause] = status["queues"][0]["stuck"]
    assert cause["message"].startswith("2 messages in unacked were delivered")


@pytest.mark.thorough
async def test_a_target_has_an_event_when_something_goes_wrong_and_when_it_is_right_again(team: Team) -> None:
    await team.workers()
    await team.kubectl("delete", "secret", "redis")
    await team.target()

    await team.told("SecretNotFound", "team")
    described = await team.kubectl("describe", "queuetarget", "team")
    assert f'BrokerReachable: namespace "{team.namespace}" has no Secret "redis"' in described
    assert "Warning" in described.partition("Events:")[2]
    assert "Usable" not in described.partition("Events:")[2]
    await team.secrets()
    reasons = await team.told("Usable", "team")
    assert reasons.count("SecretNotFound") == 1


async def test_a_quarantine_whose_retention_is_over_is_removed(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    await team.recovery(purge={"retentionSeconds": 1})
    status = await team.reached("Succeeded")
    assert status["messages"]["quarantined"] == 1

    async def gone() -> bool:
        return await team.redis.keys("queuerecovery.dev:quarantine:*") == []

    await until(gone, "the operator to unlink the quarantine")
    assert len(await team.redis.keys("queuerecovery.dev:run:*")) == 1


@pytest.mark.thorough
async def test_the_largest_list_of_jobs_that_can_be_created_runs_through(team: Team) -> None:
    task = "t" * 60
    jobs = [{"task": task, "args": json.dumps([f"{n:0>400}"])} for n in range(1000)]
    assert sum(2 * len(task) + len(job["args"]) for job in jobs) > 0.99 * 524288
    await team.target(store=False, queue={"tasks": [task]})
    await team.workers(replicas=1)
    await team.redis.lpush("work", envelope("old"))

    await team.recovery(jobs=jobs)
    status = await team.reached("Succeeded")

    assert status["jobs"]["progress"] == "1000/1000"
    assert [json.loads(b64decode(json.loads(one)["body"]))[0] for one in await team.queued()] == [
        json.loads(job["args"]) for job in jobs
    ]


@pytest.mark.thorough
async def test_jobs_whose_status_might_not_be_stored_are_refused_and_all_others_can_be_named(
    team: Team,
) -> None:
    too_long, long = (chr(0x1D11E) * length for length in (230, 120))  # a character of four bytes
    await team.target(store=False, queue={"tasks": [too_long, long]})
    await team.workers(replicas=1)
    await team.redis.lpush("work", envelope("old"))

    await team.recovery("too-long", jobs=[{"task": too_long}] * 1000)
    failed = await team.reached("Failed", "too-long")
    assert condition(failed, "Ready")["reason"] == "SpecTooLarge"
    assert len(await team.queued()) == 1

    await team.recovery("long", jobs=[{"task": long}] * 1000, reenqueue={"ratePerSecond": 1})
    await team.waits("Reenqueuing", "long")
    await team.change("long", cancel=True)
    cancelled = await team.reached("Cancelled", "long")
    assert cancelled["jobs"]["enqueued"] + len(cancelled["skipped"]) == 1000
    assert len(cancelled["skipped"]) > 900
