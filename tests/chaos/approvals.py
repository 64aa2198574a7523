"""The target requires an approval, which is given while the target is edited: what runs is what was approved."""

from asyncio import ensure_future, wait
from typing import Final

from tests.chaos.cases import CaseRun, judge
from tests.chaos.endings import ends
from tests.chaos.scenario import NAME, QUEUES, Scenario
from tests.chaos.watched import Watched

_APPROVE: Final = "queuerecovery.dev/approve"
_EDITED: Final = "edited "
"""What the jobs are called that are enqueued as the edited target says."""


async def require(scenario: Scenario) -> None:
    """Have the target require an approval."""
    await _edit(scenario, {"policy": {"approval": "Required"}})


async def are_given(case_run: CaseRun) -> bool:
    """Approve what the recovery asks for, and edit the target right after the first approval."""
    scenario = case_run.scenario
    approved: list[str] = []
    approving = ensure_future(_approve(scenario, approved))
    try:
        async with case_run.operator(*case_run.case.points) as operator:
            reached = await ends(case_run, operator)
        async with case_run.operator():
            await judge(case_run)
    finally:
        approving.cancel()
        await wait({approving})
    if not approving.cancelled():
        approving.result()
    edited = bool(await scenario.redis.keys(f"ran:{_EDITED}*"))
    ran = scenario.watched.status.get("approval", {}).get("digest")
    if ran not in approved:
        case_run.wrong.append(f"it ran with {ran}, and {approved} were approved")
    elif edited != (ran != approved[0]):
        case_run.wrong.append(f"jobs were enqueued as the {'edited' if edited else 'first'} target says")
    return reached or not case_run.case.points


async def _approve(scenario: Scenario, approved: list[str]) -> None:
    while True:
        await scenario.watched.becomes(lambda one: one.ended or _asks(one, approved), "it to ask, or its end")
        if scenario.watched.ended:
            return
        if digest := scenario.watched.awaits_approval:
            approved.append(digest)
            annotated = {"metadata": {"annotations": {_APPROVE: digest}}}
            await scenario.api.patch(f"{scenario.path('QueueRecovery')}/{NAME}", annotated)
            if len(approved) == 1:
                await _edit(scenario, _enqueuing(f"{_EDITED}$(id)"))
        else:
            await _edit(scenario, _enqueuing("$(id)"))
            await scenario.watched.becomes(lambda one: not one.is_approval_outdated, "it to go on")


def _asks(watched: Watched, approved: list[str]) -> bool:
    return watched.is_approval_outdated or watched.awaits_approval not in {None, *approved}


def _enqueuing(argument: str) -> dict[str, object]:
    message = {"task": "work.run", "args": f'["{argument}"]'}
    return {"queues": [{"name": queue, "workers": [{"name": "worker"}], "message": message} for queue in QUEUES]}


async def _edit(scenario: Scenario, spec: dict[str, object]) -> None:
    await scenario.api.patch(f"{scenario.path('QueueTarget')}/team", {"spec": spec})
