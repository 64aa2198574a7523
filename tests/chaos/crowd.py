"""Recoveries of many namespaces at once, whose operator is killed among them again and again."""

from contextlib import AsyncExitStack
from random import Random

from sandbox.processes import until
from tests.chaos.cases import Case, CaseRun, Trouble, judge
from tests.chaos.servers import Fixture, Servers
from tests.chaos.watched import Watched

MOST_DRAINING = 2
"""So few that most of a small crowd waits."""


_HELD = 3
"""Of so many one is suspended from the beginning, until the operator has died for the last time."""


async def run_crowd(servers: Servers, random: Random, *, recoveries: int, deaths: int) -> list[str]:
    """Run one; return what does not hold afterwards."""
    async with AsyncExitStack() as stack:
        case_runs = [
            CaseRun(
                servers=servers,
                fixture=await stack.enter_async_context(servers.fixture()),
                case=Case(trouble=Trouble.NONE),
            )
            for _ in range(recoveries)
        ]
        environment = _of_all([case_run.fixture for case_run in case_runs])
        for case_run in case_runs:
            await stack.enter_async_context(case_run.scenario.recovering())
        held = case_runs[::_HELD]
        for case_run in held:
            await case_run.scenario.change(suspend=True)
        most = 0
        for _ in range(deaths):
            wanted = random.randrange(1, 3 * recoveries)
            async with servers.operators.start(environment) as operator:
                before = _steps(case_runs)

                async def far_enough(before: int = before, wanted: int = wanted) -> bool:
                    nonlocal most
                    most = max(most, _draining(case_runs))
                    left = [one for one in case_runs if one not in held and not one.scenario.watched.ended]
                    return _steps(case_runs) >= before + wanted or not left

                await until(far_enough, f"{wanted} more steps of the crowd")
                await operator.kill()
        async with servers.operators.start(environment) as operator:
            for case_run in held:
                await case_run.scenario.watched.becomes(_is_held, "the recovery to hold")
                await case_run.scenario.change(suspend=False)
            for case_run in case_runs:
                case_run.operators.append(operator)
                await judge(case_run)
                most = max(most, _draining(case_runs))
        wrong = [f"{case_run.scenario.namespace}: {line}" for case_run in case_runs for line in case_run.wrong]
        if most > MOST_DRAINING:
            wrong.append(f"{most} recoveries had their workers stopped at once")
        return wrong


def _of_all(fixtures: list[Fixture]) -> dict[str, str]:
    """Return the environment of one operator for all of these fixtures."""
    names = [fixture.scenario.namespace for fixture in fixtures]
    return {
        **fixtures[0].environment,
        "QUEUE_RECOVERY_NAMESPACES": ",".join(names),
        "QUEUE_RECOVERY_MAX_DRAINING": str(MOST_DRAINING),
    }


def _is_held(watched: Watched) -> bool:
    return watched.ended or watched.suspended


def _steps(case_runs: list[CaseRun]) -> int:
    """Return how many conditions of all recoveries are true, which no death takes back."""
    conditions = (one for case_run in case_runs for one in case_run.scenario.watched.status.get("conditions", ()))
    return sum(one["status"] == "True" for one in conditions)


def _draining(case_runs: list[CaseRun]) -> int:
    """Return how many have their workers stopped, as far as their status tells."""
    return sum(_is_draining(case_run.scenario.watched.status) for case_run in case_runs)


def _is_draining(status: dict[str, object]) -> bool:
    return status.get("phase") in {"Draining", "Purging", "Restarting"}
