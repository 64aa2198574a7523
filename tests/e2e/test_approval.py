"""A recovery that has to be approved: with the command of its message, by a user who may, after an edit again."""

import json
from base64 import b64decode

from sandbox.processes import until
from tests import readme
from tests.e2e.team import Team, condition, envelope

SHOW, APPROVE = readme.commands("Approval", "docs/gitops.md")


def mine(team: Team, command: str) -> str:
    return command.replace("-n media", f"-n {team.namespace}").replace("tts-wrong-shape", "stuck")


async def run(team: Team, command: str) -> str:
    cluster = team.sandbox
    code, said = await readme.run(mine(team, command), kubeconfig=cluster.kubeconfig, kubectl=cluster.kubectl_program)
    assert code == 0, said
    return said


async def test_it_waits_for_its_approval_asks_again_after_an_edit_and_then_runs_what_was_approved(team: Team) -> None:
    job = await team.failed_job(task_id="old")
    await team.redis.lpush("work", envelope("old", args=(job,)))
    await team.workers()
    await team.target(policy={"approval": "Required"})
    await team.recovery(jobs=[{"id": job}])
    first = await team.waits("AwaitingApproval")
    status = await team.status()
    assert (status["phase"], condition(status, "Approved")["status"]) == ("AwaitingApproval", "False")
    row = (await team.kubectl("get", "qr", "stuck", "--no-headers")).split()
    assert row[1:4] == ["work", "AwaitingApproval", "AwaitingApproval"]
    assert (await team.told("AwaitingApproval")).count("AwaitingApproval") == 1

    await team.target(policy={"approval": "Required"}, queue={"message": {"task": "work.run", "args": '["$(id)", 1]'}})
    await team.has_event(
        "AwaitingApproval: waiting for approval again, because this has changed: how the target enqueues jobs"
    )
    _, _, command = first.partition("To approve it, run: ")
    digest = str(status["approval"]["digest"])
    assert command == mine(team, APPROVE.replace("DIGEST", digest))
    await run(team, command)

    async def is_refused() -> bool:
        return "queuerecovery.dev/approve quotes another digest" in (await team.status())["message"]

    await until(is_refused, "the approval of what it asked for before to be refused")
    assert await team.replicas() == 2
    assert "finalizers" not in (await team.get("QueueRecovery", "stuck"))["metadata"]

    said = await run(team, SHOW)
    assert said.startswith("waiting for approval again")
    again = (await team.status())["approval"]["digest"]
    assert again != digest
    await run(team, APPROVE.replace("DIGEST", again))
    await team.reached("Succeeded")

    (message,) = [json.loads(text) for text in await team.queued()]
    assert json.loads(b64decode(message["body"]))[0] == [job, 1]
