"""The servers that a recovery works on, when one of them dies."""

from collections.abc import Awaitable, Callable

from tests.node.team import Team, job_ids

JOBS = job_ids(20)


async def test_a_mongodb_server_that_is_killed_while_jobs_are_enqueued_costs_no_job_and_doubles_none(
    team: Team,
) -> None:
    await team.set_up()
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await team.recover("store-killed", JOBS, reenqueue={"ratePerSecond": 1})

    def enqueued(count: int) -> Callable[[], Awaitable[bool]]:
        async def reached() -> bool:
            return bool((await team.status("store-killed")).get("jobs", {}).get("enqueued", 0) >= count)

        return reached

    async def no_worker() -> bool:
        return not await team.pods("tts-worker")

    # Only the operator is to meet the outage: the application gives up a task whose first write fails.
    await team.cluster.until(enqueued(1), "a job to be enqueued")
    await team.suspend("store-killed", held=True)
    await team.kubectl("scale", "deployment/tts-worker", "--replicas=0")
    await team.cluster.until(no_worker, "the workers to be gone")
    await team.suspend("store-killed", held=False)
    before = (await team.status("store-killed"))["jobs"]["enqueued"]
    await team.cluster.until(enqueued(before + 2), "two more jobs to be enqueued")
    await team.kubectl("exec", "deployment/mongo", "--", "sh", "-c", "kill -s KILL -- -1")

    async def restarted() -> bool:
        [pod] = await team.pods("mongo")
        [container] = pod["status"]["containerStatuses"]
        return bool(container["restartCount"] == 1 and container["ready"])

    await team.cluster.until(restarted, "the server to be restarted")
    assert (await team.status("store-killed"))["phase"] == "Reenqueuing"
    status = await team.reached("store-killed", "Succeeded")

    assert (status["jobs"]["enqueued"], status["jobs"]["skipped"]) == (len(JOBS), 0)
    await team.kubectl("scale", "deployment/tts-worker", "--replicas=2")
    await team.done(*JOBS)
    await team.ran_once(*JOBS)
