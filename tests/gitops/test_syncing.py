"""Argo CD and Flux sync a whole recovery every two seconds, with pruning and self-heal."""

import pytest

from sandbox.api import Json
from sandbox.processes import until
from tests.e2e.team import CELERY, Team, condition, envelope, worker_deployment
from tests.e2e.test_order_with_the_fix import BROKEN, FIXED, RESTART, images_of_new_tasks
from tests.gitops.conftest import Start, ToolName
from tests.gitops.incident import REPLICAS, Incident
from tests.gitops.repository import Repository
from tests.gitops.tool import Round

pytestmark = pytest.mark.timeout(600)

RESPECT = ("--ignore-differences=/spec/replicas", "--respect-ignore-differences")

DOCUMENTED: dict[str, tuple[ToolName, int | None, tuple[str, ...]]] = {
    "argocd": ("argocd", REPLICAS, RESPECT),
    "flux, without replicas in Git": ("flux", None, ()),
    "flux, with an ignore rule": ("flux", REPLICAS, ("--ignore=/spec/replicas",)),
}
"""Tool, `replicas` in Git, options: as `docs/gitops.md` says."""


RECOVERY = "QueueRecovery/stuck"


def touches_workers(each: Round) -> bool:
    return "Deployment/worker" in each.changed


def creates_recovery(each: Round) -> bool:
    return RECOVERY in each.changed


@pytest.mark.parametrize("settings", DOCUMENTED)
async def test_with_the_documented_settings_a_recovery_in_git_runs_once(
    team: Team, repository: Repository, start: Start, settings: str
) -> None:
    name, replicas, options = DOCUMENTED[settings]
    incident = await Incident.stage(team, repository, replicas=replicas)
    tool = await start(name, *options)
    await tool.until(touches_workers, "the workers to be created")
    if replicas is None:
        await team.kubectl("scale", "deployment/worker", f"--replicas={REPLICAS}")
    await incident.is_stuck()
    await team.available("worker", REPLICAS)
    before = len(tool.rounds())

    incident.commit(incident.recovery())
    await tool.until(creates_recovery, "the recovery to be created")
    status = await team.reached("Succeeded")

    assert "purge" not in status  # it leaves out that there was one attempt
    assert "WorkerChanged" not in await team.events()
    await incident.workers_are_back()
    await incident.ran_once()
    await tool.until(lambda each: each.healthy, "the tool to be healthy")
    assert not [each for each in tool.rounds()[before + 1 :] if touches_workers(each)]

    # Pruned, and created again: nothing happens.
    generation = (await team.get("Deployment", "worker"))["metadata"]["generation"]
    incident.commit()
    await is_gone(team)
    incident.commit(incident.recovery())
    await tool.until(creates_recovery, "the recovery to be created again")
    copy = await team.reached("Succeeded")

    assert condition(copy, "Succeeded")["reason"] == "AlreadyExecuted"
    assert (await team.get("Deployment", "worker"))["metadata"]["generation"] == generation
    await incident.ran_once()


UNDOCUMENTED: dict[ToolName, str] = {
    "argocd": "argocd-controller",
    "flux": "kustomize-controller",
}
"""Each tool with `replicas` in Git and nothing else, and its field manager."""


@pytest.mark.parametrize("name", UNDOCUMENTED)
async def test_a_tool_that_enforces_replicas_is_named_and_nothing_is_left_half_done(
    team: Team, repository: Repository, start: Start, name: ToolName
) -> None:
    incident = await Incident.stage(team, repository, replicas=REPLICAS)
    tool = await start(name)
    await tool.until(touches_workers, "the workers to be created")
    await incident.is_stuck()
    await team.available("worker", REPLICAS)
    await team.redis.lpush("work", envelope("busy", args=(10,), task="work.wait"))

    incident.commit(incident.recovery(activeDeadlineSeconds=60))
    said = await team.warned("WorkerChanged")
    status = await ended(team)

    assert f'field manager "{UNDOCUMENTED[name]}" scaled "worker" up during the drain; scaling to 0 again.' in said
    await incident.workers_are_back()
    if status["phase"] == "Succeeded":
        # The drain held at last, between two rounds of the tool.
        assert status["messages"] == {"found": 2, "left": 0, "quarantined": 2}
        await incident.ran_once()
    else:
        assert status["ending"]["reason"] == "ActiveDeadlineExceeded"
        assert not [job for job in incident.jobs if (await team.job(job))["status"] != "failed"]


async def ended(team: Team) -> Json:
    """Wait until the recovery has ended; return its status."""

    async def over() -> Json | None:
        status = await team.status()
        return status if "completionTime" in status else None

    return await until(over, "the recovery to end", seconds=180)


async def test_a_failed_recovery_degrades_the_application_with_its_message_until_it_is_removed_from_git(
    team: Team, repository: Repository, start: Start
) -> None:
    incident = await Incident.stage(team, repository, replicas=1)
    tool = await start("argocd")
    await tool.until(lambda each: each.healthy, "the application to be healthy")

    incident.commit(incident.recovery(queue="nowhere"))
    failed = await tool.until(
        lambda each: each.health.get(RECOVERY, "").startswith("Degraded"), "the application to degrade"
    )

    message = (await team.reached("Failed"))["message"]
    assert failed.health[RECOVERY] == f"Degraded: {message}"
    assert not failed.healthy
    incident.commit()
    back = await tool.until(lambda each: each.healthy, "the application to be healthy again")
    assert RECOVERY not in back.health


async def test_a_failed_recovery_stops_the_kustomization_from_being_ready_until_it_is_removed_from_git(
    team: Team, repository: Repository, start: Start
) -> None:
    incident = await Incident.stage(team, repository, replicas=1)
    tool = await start("flux", "--wait=60s")
    await tool.until(lambda each: each.healthy, "the Kustomization to be ready")

    incident.commit(incident.recovery(queue="nowhere"))
    failed = await tool.until(lambda each: not each.healthy, "the Kustomization not to be ready")

    named = f"QueueRecovery/{team.namespace}/stuck"
    assert failed.message == f"failed early due to stalled resources: [{named} status: 'Failed']"
    incident.commit()
    await tool.until(lambda each: each.healthy, "the Kustomization to be ready again")


@pytest.mark.parametrize("settings", DOCUMENTED)
async def test_fix_and_recovery_in_one_commit_give_no_job_to_the_broken_image(
    team: Team, repository: Repository, start: Start, settings: str
) -> None:
    name, replicas, options = DOCUMENTED[settings]
    incident = await Incident.stage(team, repository, replicas=replicas, image=BROKEN)
    tool = await start(name, *options)
    await tool.until(touches_workers, "the workers to be created")
    await incident.is_stuck()

    incident.deployment = worker_deployment(replicas=replicas, command=CELERY, image=FIXED)
    incident.commit(incident.recovery(restart=RESTART))
    await tool.until(creates_recovery, "the recovery to be created")
    await team.reached("Succeeded")

    await incident.ran_once()
    assert await images_of_new_tasks(team, incident.jobs) == {FIXED.encode()}


async def is_gone(team: Team) -> None:
    """Wait until there is no recovery."""

    async def gone() -> bool:
        return not (await team.api.get(team.path("QueueRecovery")))["items"]

    await until(gone, "the recovery to be pruned")
