"""Another recovery comes after the one whose operator was hit: of the same queue, or a copy of it."""

import signal
from contextlib import suppress
from typing import Final

from queue_recovery.api.reasons import Reason
from sandbox.processes import DeadlineError
from tests.chaos.cases import CaseRun, Trouble, judge
from tests.chaos.endings import ends
from tests.chaos.points import Moment
from tests.chaos.scenario import NEXT


async def is_removed(case_run: CaseRun) -> bool:
    """The recovery is removed by force; what is judged is the next one of the same queue."""
    async with case_run.operator(*case_run.case.points) as operator:
        reached = await case_run.is_hit(operator)
        if not reached:
            await judge(case_run)
            return False
        if case_run.case.trouble is Trouble.REMOVED:
            await operator.kill()
        scenario = case_run.scenario
        await scenario.remove_by_force()
        async with (
            scenario.recovering(NEXT, every_queue=case_run.case.every_queue, **case_run.case.spec),
            case_run.operator(),
        ):
            await judge(case_run)
            if operator.alive:
                operator.send(signal.SIGCONT)
                if any(one.moment is Moment.HEARD for one in operator.crossings()):
                    with suppress(DeadlineError):
                        await operator.crosses(
                            lambda one: one.moment is Moment.IDLE, "the late one to be done", seconds=20
                        )
                await judge(case_run)
    return reached


_CREATED_AGAIN_TIMES: Final = 5


async def is_created_again(case_run: CaseRun) -> bool:
    """A GitOps tool deletes and creates the recovery again, once it has ended: no copy does anything."""
    [point] = case_run.case.points
    scenario = case_run.scenario
    async with case_run.operator(point) as operator:
        reached = await ends(case_run, operator)
    async with case_run.operator() as operator:
        await judge(case_run)
        first, before = scenario.watched.as_it_is(), len(operator.crossings())
        for _ in range(_CREATED_AGAIN_TIMES):
            async with scenario.created_again(first.body):
                await scenario.watched.becomes(lambda watched: watched.released, "the copy's end")
                found = (scenario.watched.status["phase"], scenario.watched.status["ending"]["reason"])
                if found != (first.status["phase"], Reason.ALREADY_EXECUTED):
                    case_run.wrong.append(f"a copy has ended as {found}")
        done = {one.name for one in operator.crossings()[before:] if one.moment is Moment.AFTER}
        case_run.wrong += [f"a copy did this: {name}" for name in sorted(done) if not name.startswith(_OF_A_COPY)]
        scenario.watched = first
    return reached


_OF_A_COPY: Final = ("k8s status ", "k8s event ", "(target) ")
"""What effects begin with that a copy may have."""
