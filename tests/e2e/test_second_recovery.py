"""A second recovery of the same jobs: no job is left pending without a message, and none has two."""

import asyncio
import json

from tests.e2e.team import Team, condition, envelope


async def _ids(team: Team) -> list[str]:
    """Return the task ids in the queue, the next one first."""
    return [json.loads(message)["headers"]["id"] for message in await team.queued()]


async def test_the_messages_that_the_first_one_enqueued_stay_in_the_queue_and_its_jobs_are_skipped(team: Team) -> None:
    await team.workers()
    await team.target()
    jobs = [await team.failed_job(task_id=f"poison-{n}") for n in range(2)]
    await team.redis.lpush("work", *(envelope(f"poison-{n}") for n in range(2)))
    await team.recovery("first", jobs=[{"id": job} for job in jobs])
    await team.reached("Succeeded", "first")
    enqueued = [(await team.job(job))["task_id"] for job in jobs]
    await team.redis.lpush("work", envelope("of-nobody"))

    await team.recovery("second", jobs=[{"id": job} for job in jobs])
    status = await team.reached("Succeeded", "second")

    assert await _ids(team) == enqueued
    assert [(await team.job(job))["task_id"] for job in jobs] == enqueued
    assert [(row["id"], row["reason"]) for row in status["skipped"]] == [(job, "NotRecoverable") for job in jobs]
    assert all("its message stays in the queue" in row["message"] for row in status["skipped"])
    messages = status["messages"]
    assert (messages["found"], messages["quarantined"], messages["left"]) == (3, 1, 2)


async def test_of_two_at_once_one_enqueues_each_job_and_the_other_leaves_its_message(team: Team) -> None:
    await team.workers()
    await team.target()
    jobs = [await team.failed_job(task_id=f"poison-{n}") for n in range(3)]
    await team.redis.lpush("work", *(envelope(f"poison-{n}") for n in range(3)))
    for name in ("one", "other"):
        await team.recovery(name, suspend=True, jobs=[{"id": job} for job in jobs])
        await team.waits("Suspended", name)

    await asyncio.gather(*(team.change(name, suspend=False) for name in ("one", "other")))
    ended = [await team.reached("Succeeded", name) for name in ("one", "other")]

    assert sorted(status["jobs"]["enqueued"] for status in ended) == [0, 3]
    waiting = {(await team.job(job))["task_id"] for job in jobs}
    assert sorted(await _ids(team)) == sorted(waiting)


async def test_one_that_has_waited_for_the_first_plans_again_and_stops_nobody_when_all_is_done(team: Team) -> None:
    await team.stubborn_workers(grace=3)
    await team.target()
    job = await team.failed_job(task_id="poison")
    await team.redis.lpush("work", envelope("poison"))
    await team.recovery("first", jobs=[{"id": job}])
    await team.reached("Draining", "first")
    await team.recovery("second", jobs=[{"id": job}])
    await team.waits("Locked", "second")
    await team.reached("Succeeded", "first")
    scaled_back = (await team.get("Deployment", "worker"))["metadata"]["generation"]

    status = await team.reached("Succeeded", "second")

    assert condition(status, "Succeeded")["reason"] == "NothingToDo"
    assert "left 1, skipped 1" in status["message"]
    assert (await team.get("Deployment", "worker"))["metadata"]["generation"] == scaled_back
    assert await _ids(team) == [(await team.job(job))["task_id"]]


async def test_one_that_finds_nothing_waits_while_another_holds_the_queue_and_takes_what_comes_back(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.redis.set("queuerecovery.dev:lock:work", "another")
    await team.recovery(jobs=[])
    assert "another" in await team.waits("Locked")
    await team.redis.lpush("work", envelope("given-back"))
    await team.redis.delete("queuerecovery.dev:lock:work")

    status = await team.reached("Succeeded")

    assert status["messages"]["quarantined"] == 1
    assert await _ids(team) == []


async def test_one_that_finds_nothing_ends_the_run_of_one_that_is_gone_and_then_stops_nobody(team: Team) -> None:
    await team.workers()
    await team.target()
    before = (await team.get("Deployment", "worker"))["metadata"]["generation"]
    cluster = await team.api.get("/api/v1/namespaces/kube-system")
    gone = ["uid", "gone", "name", f"{team.namespace}/gone", "list", "work", "state", "preparing", "retention", "60"]
    gone += ["cluster", "any", "cluster_uid", cluster["metadata"]["uid"]]
    await team.redis.hset("queuerecovery.dev:run:gone", items=gone)
    await team.redis.set("queuerecovery.dev:lock:work", "gone")
    await team.recovery(jobs=[])

    status = await team.reached("Succeeded")

    assert condition(status, "Succeeded")["reason"] == "NothingToDo"
    assert await team.redis.hget("queuerecovery.dev:run:gone", "state") == b"closed"
    assert not await team.redis.keys("queuerecovery.dev:lock:*")
    assert (await team.get("Deployment", "worker"))["metadata"]["generation"] == before


async def test_messages_that_no_enqueued_job_replaces_are_named_in_a_warning_with_the_undo(team: Team) -> None:
    await team.workers()
    await team.target()
    job = await team.failed_job(task_id="poison")
    await team.redis.lpush("work", *(envelope(name) for name in ("poison", "of-nobody", "poison")))
    await team.recovery(jobs=[{"id": job}])
    status = await team.reached("Succeeded")

    assert status["messages"]["unreplaced"] == {
        "count": 1,
        "isExact": True,
        "examples": [{"taskId": "of-nobody", "task": "work.run"}],
    }
    assert await team.warned("NotReplaced") == (
        "1 of 3 quarantined messages was not replaced by an enqueued job (work.run of-nobody). To put it back, "
        "create a QueueRecovery whose restoreFrom names this one"
    )
    await team.recovery("undo", restoreFrom={"name": "stuck"})
    await team.reached("Succeeded", "undo")
    assert await _ids(team) == ["of-nobody", (await team.job(job))["task_id"]]
