"""What a user sees when the job store refuses: a condition that says what to do, and nothing lost."""

from sandbox.job_store import add_user
from sandbox.processes import until
from tests.e2e.team import Team, condition, envelope
from tests.mongodb import Database

SECRET = "s3cret-payload"


async def shown(team: Team) -> str:
    """Return all that the operator tells of the team: conditions, events, logs."""
    logs = await team.sandbox.kubectl(
        "-n", "queue-recovery", "logs", "--selector", "app.kubernetes.io/name=queue-recovery", "--tail=-1"
    )
    told = [await team.get("QueueTarget", "team"), await team.get("QueueRecovery", "stuck")]
    return f"{told}{await team.kubectl('get', 'events', '--output=yaml')}{logs}"


async def test_a_user_without_a_privilege_is_named_with_the_collection_before_any_worker_is_stopped(
    team: Team, store: Database
) -> None:
    await team.workers(replicas=2)
    await team.redis.lpush("work", envelope("t"))
    await team.secrets(mongo=await store.operator_url(team.jobs.name, actions=("find",)))
    await team.target()
    job = await team.failed_job()
    generation = (await team.get("Deployment", "worker"))["metadata"]["generation"]
    await team.recovery(jobs=[{"id": job}])

    message = await team.waits("JobStorePermissionDenied")

    assert f'lacks the privilege "update" on the collection "{store.name}.{team.jobs.name}"' in message
    status = await team.status()
    assert (status["phase"], "plan" in status) == ("Pending", False)
    assert (await team.get("Deployment", "worker"))["metadata"]["generation"] == generation
    assert len(await team.queued()) == 1

    async def target_says_so() -> bool:
        found = condition((await team.get("QueueTarget", "team")).get("status", {}), "JobStoreReachable")
        return (found.get("status"), found.get("reason")) == ("False", "JobStorePermissionDenied")

    await until(target_says_so, "the target to name the denial too")

    await team.secrets()
    status = await team.reached("Succeeded")
    assert status["jobs"]["progress"] == "1/1"


async def test_a_rule_of_the_collection_that_refuses_a_claim_fails_the_recovery_and_nothing_is_lost(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.redis.lpush("work", envelope("t", args=(SECRET,)))
    jobs = [await team.failed_job(text=SECRET) for _ in range(2)]
    before = [await team.job(job) for job in jobs]
    validator = {"$jsonSchema": {"properties": {"queueRecovery": {"bsonType": "null"}}}}
    await team.jobs.database.command("collMod", team.jobs.name, validator=validator)
    await team.recovery(jobs=[{"id": job} for job in jobs])

    status = await team.reached("Failed")

    ended = condition(status, "Succeeded")
    assert ended["reason"] == "JobStoreWriteRefused"
    assert jobs[0] in status["message"]
    assert "which rule of the collection" in status["message"]
    assert status["messages"]["quarantined"] == 1
    assert {row["reason"] for row in status["skipped"]} == {"NotAttempted"}
    assert [row["id"] for row in status["skipped"]] == jobs
    assert await team.queued() == []
    assert await team.replicas() == 1
    after = [await team.job(job) for job in jobs]
    for document in after:
        document.pop("queueRecovery", None)
    assert after == before
    told = await shown(team)
    assert SECRET not in told
    assert "Traceback" not in told


async def test_a_password_that_is_changed_in_the_secret_is_used_at_once(team: Team, store: Database) -> None:
    await team.workers(replicas=1)
    url = await add_user(store.url, f"{team.namespace}-old", "hunter2", database=store.name, roles=["readWrite"])
    await team.secrets(mongo=url.replace("hunter2", "hunter3"))
    await team.target()
    await team.recovery(jobs=[{"id": await team.failed_job()}])
    message = await team.waits("JobStoreAuthenticationFailed")
    assert "hunter" not in message

    await team.secrets(mongo=url)

    await team.reached("Succeeded")
    assert "hunter" not in await shown(team)
