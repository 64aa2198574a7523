"""The jobs' errors are transient: the recovery is held, and touches nothing until the target says to ignore that."""

import json
from asyncio import ensure_future, wait
from collections.abc import Awaitable, Callable
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
    ignores: dict[str, object] = {"policy": {"diagnosis": "Ignore"}}
    return await goes_on(case_run, Reason.TRANSIENT_ERRORS, lambda: _edit(case_run.scenario, ignores))


async def goes_on(
    case_run: CaseRun, reason: Reason, release: Callable[[], Awaitable[None]], *, refresh_seconds: int = 30
) -> bool:
    """Release the recovery once it is held for this reason, and see that nothing was touched by then."""
    points, seconds = case_run.case.points, str(refresh_seconds)
    releasing = ensure_future(_release(case_run, reason, release))
    try:
        async with case_run.operator(*points, QUEUE_RECOVERY_TARGET_REFRESH_SECONDS=seconds) as operator:
            reached = await ends(case_run, operator)
        async with case_run.operator(QUEUE_RECOVERY_TARGET_REFRESH_SECONDS=seconds):
            await judge(case_run)
    finally:
        releasing.cancel()
        await wait({releasing})
    if releasing.cancelled():
        case_run.wrong.append("it was never held")
    else:
        releasing.result()
    return reached or not points


async def _release(case_run: CaseRun, reason: Reason, release: Callable[[], Awaitable[None]]) -> None:
    scenario = case_run.scenario
    await scenario.watched.becomes(lambda one: one.waits_for(reason), "it to be held")
    if "drainStartTime" in scenario.watched.status:
        case_run.wrong.append("it was held after its start")
    if (await scenario.get("Deployment", "worker"))["spec"]["replicas"] != REPLICAS:
        case_run.wrong.append("workers were stopped while it was held")
    await release()


async def _edit(scenario: Scenario, spec: dict[str, object]) -> None:
    await scenario.api.patch(f"{scenario.path('QueueTarget')}/team", {"spec": spec})
