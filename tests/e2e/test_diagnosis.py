"""A recovery whose jobs fail with transient errors: it is held, and goes on with the commands of the page."""

import json

from tests import readme
from tests.e2e.team import Team, envelope

(SHOW,) = readme.commands("Verdicts", "docs/diagnosis.md")
(IGNORE,) = readme.commands("A recovery that is held", "docs/diagnosis.md")


async def run(team: Team, command: str) -> str:
    cluster = team.sandbox
    mine = command.replace("-n media", f"-n {team.namespace}").replace("tts-wrong-shape", "stuck")
    mine = mine.replace("qt/media", "qt/team")
    code, said = await readme.run(mine, kubeconfig=cluster.kubeconfig, kubectl=cluster.kubectl_program)
    assert code == 0, said
    return said


async def test_transient_errors_hold_a_recovery_until_the_target_says_to_ignore_them(team: Team) -> None:
    stored = {"exc_type": "ConnectTimeout", "exc_module": "requests.exceptions", "exc_message": ["to alice"]}
    job, other = await team.failed_job(task_id="old", error="httpx.ReadTimeout: alice"), await team.failed_job()
    result = {"status": "FAILURE", "result": stored, "traceback": None, "date_done": "2026-01-01T00:00:00+00:00"}
    await team.redis.set("celery-task-meta-old", json.dumps(result))
    await team.redis.lpush("work", envelope("old", args=(job,), retries=2))
    await team.workers()
    await team.target(fields={"error": "error"}, diagnosis={"results": {}})
    await team.recovery(jobs=[{"id": job}, {"id": other}])

    message = await team.waits("TransientErrors")

    assert "the errors are transient" in message
    shown = json.loads(await run(team, SHOW))
    assert (shown["verdict"], shown["known"], shown["of"], shown["retried"]) == ("Transient", 1, 2, 1)
    classes = [error["exception"] for error in shown["errors"]]
    assert classes == ["requests.exceptions.ConnectTimeout", "httpx.ReadTimeout"]
    assert await team.replicas() == 2
    assert "finalizers" not in (await team.get("QueueRecovery", "stuck"))["metadata"]
    assert "alice" not in json.dumps(await team.get("QueueRecovery", "stuck"))
    assert "alice" not in " ".join(await team.events())

    await run(team, IGNORE)

    await team.reached("Succeeded")
    assert len(await team.queued()) == 2
