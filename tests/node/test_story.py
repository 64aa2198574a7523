"""The main job, as the demo tells it, with every part a pod."""

import pytest

from tests.node.team import Team, job_ids

pytestmark = pytest.mark.usefixtures("own_short_tokens")

JOBS = job_ids(3)


async def test_a_poisoned_queue_is_recovered_and_each_job_runs_once(team: Team) -> None:
    await team.set_up()
    await team.poison(*JOBS)
    await team.failed(*JOBS)

    # What people try: the messages are not in the list, and a clean restart gives them back.
    async def between_attempts() -> bool:
        return await team.redis("HLEN", "unacked") == 3

    await team.cluster.until(between_attempts, "all messages to wait in `unacked`")
    await team.redis("DEL", "tts")
    await team.kubectl("rollout", "restart", "deployment/tts-worker")
    await team.rolled_out("tts-worker")
    runs = {job: len(await team.executions(job)) for job in JOBS}

    async def ran_again() -> bool:
        return all([len(await team.executions(job)) > runs[job] for job in JOBS])

    await team.cluster.until(ran_again, "each job to fail once more")

    await team.recover("wrong-shape", JOBS)
    status = await team.reached("wrong-shape", "Succeeded")

    assert (status["messages"]["quarantined"], status["jobs"]["enqueued"]) == (3, 3)
    assert await team.replicas("tts-worker") == 2
    await team.done(*JOBS)
    await team.ran_once(*JOBS)
    listed = await team.kubectl("get", "queuerecoveries")
    assert "Succeeded" in listed
