"""A recovery that has to be approved: with the command of its message, by a user who may, after an edit again."""

import json
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import pytest

from queue_recovery.controller.author_guard import IN_FORCE_WITHIN, POLICY
from sandbox.api import Access
from sandbox.processes import until
from tests import readme
from tests.e2e.team import Team, condition, envelope

SHOW, APPROVE = readme.commands("Approval", "docs/gitops.md")


def mine(team: Team, command: str) -> str:
    return command.replace("-n media", f"-n {team.namespace}").replace("tts-wrong-shape", "stuck")


async def run(team: Team, command: str, user: Path | None = None) -> str:
    cluster = team.sandbox
    kubeconfig = user or cluster.kubeconfig
    code, said = await readme.run(mine(team, command), kubeconfig=kubeconfig, kubectl=cluster.kubectl_program)
    assert code == 0, said
    return said


async def user_who_may_edit_and_approve(team: Team, name: str, folder: Path) -> Path:
    """Create a user who may do both, and return his kubeconfig."""
    await team.kubectl("create", "serviceaccount", name)
    for role in ("edit", "queue-recovery-approver"):
        account = f"--serviceaccount={team.namespace}:{name}"
        await team.kubectl("create", "rolebinding", f"{name}-{role}", f"--clusterrole={role}", account)
    admin, token = team.sandbox.control_plane.admin, (await team.kubectl("create", "token", name)).strip()
    access = Access(admin.server, admin.authority, token)
    return access.write_kubeconfig(folder / f"{name}.kubeconfig", namespace=team.namespace)


async def policy_proves_authors(team: Team) -> None:
    """Wait until the policy is old enough for recoveries that are created now."""
    path = f"/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/{POLICY}"
    since = datetime.fromisoformat((await team.api.get(path))["metadata"]["creationTimestamp"])

    async def is_old() -> bool:
        return datetime.now(UTC) > since + IN_FORCE_WITHIN

    await until(is_old, "the policy to be a minute old")


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


@pytest.mark.thorough  # the policy has to be a minute old
async def test_an_author_may_not_approve_his_own_where_the_target_forbids_it_and_another_user_may(
    team: Team, tmp_path: Path
) -> None:
    author, approver = [await user_who_may_edit_and_approve(team, name, tmp_path) for name in ("author", "approver")]
    await policy_proves_authors(team)
    await team.workers()
    await team.target(policy={"approval": "Required", "authorMayApprove": False})
    job = await team.failed_job(task_id="old")
    await team.redis.lpush("work", envelope("old", args=(job,)))
    spec = {"targetRef": {"name": "team"}, "queue": "work", "jobs": [{"id": job}]}
    named = {"queuerecovery.dev/author": f"system:serviceaccount:{team.namespace}:author"}
    metadata = {"name": "stuck", "namespace": team.namespace, "annotations": named}
    written = tmp_path / "recovery.json"
    written.write_text(
        json.dumps(
            {"apiVersion": "queuerecovery.dev/v1alpha1", "kind": "QueueRecovery", "metadata": metadata, "spec": spec}
        )
    )
    await run(team, f"kubectl create -f {written}", author)
    _, _, command = (await team.waits("AwaitingApproval")).partition("To approve it, run: ")

    await run(team, command, author)

    async def is_refused() -> bool:
        return "the author of the recovery may not approve it" in (await team.status())["message"]

    await until(is_refused, "the author's approval to be refused")
    assert await team.replicas() == 2
    await run(team, command, approver)
    status = await team.reached("Succeeded")
    assert status["approval"]["approver"] == f"system:serviceaccount:{team.namespace}:approver"
    assert len(await team.queued()) == 1
