"""What GitOps tools show beside the phase, in every state that a recovery is in until its end."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import groupby

import pytest

from sandbox.api import Json
from sandbox.gitops_health import GitOpsHealth
from sandbox.processes import ROOT, until
from tests.e2e.team import Team

_ARGOCD = ROOT / "manifests" / "argocd" / "recovery-health.lua"
_PAGE = ROOT / "docs" / "gitops.md"

pytestmark = pytest.mark.timeout(600)  # the first time, what asks kstatus is built


@pytest.fixture(scope="module")
def health() -> Iterator[GitOpsHealth]:
    with GitOpsHealth() as started:
        yield started


def row(health: GitOpsHealth, body: Json) -> tuple[str, str, str]:
    """Return the phase, what kstatus says, and what Argo CD says, which does not ask the script about a deletion."""
    deleting = "deletionTimestamp" in body["metadata"]
    argocd = "Progressing" if deleting else health.lua(_ARGOCD.read_text(), body)["status"]
    phase = body.get("status", {}).get("phase", "not set yet")
    return phase + (", deleted" if deleting else ""), health.kstatus(body)["status"], argocd


async def succeeds(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.recovery(jobs=[{"id": await team.failed_job()}])
    await team.reached("Succeeded")


async def is_refused(team: Team) -> None:
    await team.target()
    await team.recovery(queue="nowhere")
    await team.reached("Failed")


async def waits_in_vain(team: Team) -> None:
    await team.recovery(startingDeadlineSeconds=2)
    await team.reached("Failed")


async def is_suspended_and_resumed(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.recovery(suspend=True)
    await team.waits("Suspended")
    await team.change(suspend=False)
    await team.reached("Succeeded")


async def is_suspended_and_cancelled(team: Team) -> None:
    await team.target()
    await team.workers()
    await team.recovery(suspend=True)
    await team.waits("Suspended")
    await team.change(cancel=True)
    await team.reached("Cancelled")


async def awaits_approval(team: Team) -> None:
    await team.workers()
    await team.target(policy={"approval": "Required"})
    await team.recovery(jobs=[{"id": await team.failed_job()}])
    await team.waits("AwaitingApproval")
    digest = (await team.status())["approval"]["digest"]
    approved = {"metadata": {"annotations": {"queuerecovery.dev/approve": digest}}}
    await team.api.patch(f"{team.path('QueueRecovery')}/stuck", approved)
    await team.reached("Succeeded")


async def waits_for_another_one(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.recovery("first", restart={"strategy": "Manual"})
    await team.reached("Draining", "first")
    await team.recovery()
    await team.waits("Locked")
    await team.change("first", cancel=True)
    await team.reached("Succeeded")


async def is_deleted_while_it_runs(team: Team) -> None:
    await team.workers()
    await team.target()
    await team.recovery(restart={"strategy": "Manual"})
    await team.reached("Draining")
    await team.api.delete(f"{team.path('QueueRecovery')}/stuck", {})

    async def is_gone() -> bool:
        return not (await team.api.get(team.path("QueueRecovery")))["items"]

    await until(is_gone, "the recovery to be gone")


LIVES: dict[str, Callable[[Team], Awaitable[None]]] = {
    "succeeds": succeeds,
    "is refused": is_refused,
    "waits for its target in vain": waits_in_vain,
    "is suspended, and resumed": is_suspended_and_resumed,
    "is suspended, and cancelled": is_suspended_and_cancelled,
    "waits for another one": waits_for_another_one,
    "awaits its approval": awaits_approval,
    "is deleted while it runs": is_deleted_while_it_runs,
}


def documented(life: str) -> Sequence[tuple[str, ...]]:
    """Return the rows of the page's table about a life."""
    lines = [line for line in _PAGE.read_text().splitlines() if line.startswith(f"| {life} |")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")[1:]) for line in lines]


SHOWN_FIRST = ("succeeds", "is refused", "is suspended, and resumed", "is deleted while it runs")


@pytest.mark.parametrize(
    "life", [pytest.param(life, marks=[] if life in SHOWN_FIRST else [pytest.mark.thorough]) for life in LIVES]
)
async def test_the_page_says_what_the_tools_show(team: Team, health: GitOpsHealth, life: str) -> None:
    before = (await team.api.get(team.path("QueueRecovery")))["metadata"]["resourceVersion"]

    await LIVES[life](team)

    states = await team.api.states_since(team.path("QueueRecovery"), before)
    shown = [row(health, body) for body in states if body["metadata"]["name"] == "stuck"]
    rows = [each for each, _ in groupby(shown)]
    assert rows == documented(life), "\n".join(f"| {life} | {' | '.join(each)} |" for each in rows)


def test_every_life_of_the_page_is_lived() -> None:
    section = _PAGE.read_text().partition("## Health\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1].strip() for line in section.splitlines() if line.startswith("| ")]

    assert {*rows} - {"a recovery that"} == {*LIVES}
