"""The jobs' errors are transient: the recovery is held, and touches nothing until the target says to ignore that."""

import json
from asyncio import ensure_future, wait
from dataclasses import replace
from typing import Final

from queue_recovery.api.reasons import Reason
from tests.chaos.cases import CaseRun, judge
from tests.chaos.endings import ends
from tests.chaos.scenario import REPLICAS, Scenario

_FAILURE: Final = {"exc_type": "ReadTimeout", "exc_module": "requests.exceptions", "exc_message": ["of alice"]}


async def hold(scenario: Scenario) -> None:
    """Let all jobs and messages have failed with errors that a retry cures, where the target finds them."""
    await scenario.jobs.update_many({}, {"$set": {"error": "requests.exceptions.ReadTimeout: of alice"}})
    scenario.listed = [
        replace(one, document=await scenario.job(one.label)) if one.document else one for one in scenario.listed
    ]
    for name in scenario.queue:
        key = f"celery-task-meta-{name}"
        await scenario.redis.set(key, json.dumps({"status": "RETRY", "result": _FAILURE, "traceback": None}))
        scenario.others[key] = await scenario.redis.dump(key)
    fields = {"jobStore": {"mongodb": {"fields": {"error": "error"}}}}
    await _edit(scenario, {**fields, "diagnosis": {"results": {}}})


async def is_ignored(case_run: CaseRun) -> bool:
    """Set the target's policy once the recovery is held, and see that nothing was touched by then."""
    ignoring = ensure_future(_ignore(case_run))
    try:
        async with case_run.operator(*case_run.case.points) as operator:
            reached = await ends(case_run, operator)
        async with case_run.operator():
            await judge(case_run)
    finally:
        ignoring.cancel()
        await wait({ignoring})
    if ignoring.cancelled():
        case_run.wrong.append("it was never held")
    else:
        ignoring.result()
    return reached or not case_run.case.points


async def _ignore(case_run: CaseRun) -> None:
    scenario = case_run.scenario
    await scenario.watched.becomes(lambda one: one.waits_for(Reason.TRANSIENT_ERRORS), "it to be held")
    if "drainStartTime" in scenario.watched.status:
        case_run.wrong.append("it was held after its start")
    if (await scenario.get("Deployment", "worker"))["spec"]["replicas"] != REPLICAS:
        case_run.wrong.append("workers were stopped while it was held")
    await _edit(scenario, {"policy": {"diagnosis": "Ignore"}})


async def _edit(scenario: Scenario, spec: dict[str, object]) -> None:
    await scenario.api.patch(f"{scenario.path('QueueTarget')}/team", {"spec": spec})
