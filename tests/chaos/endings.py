"""How the harness waits for the end of an operator, or of its recovery."""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Final

from sandbox.processes import DeadlineError
from tests.chaos.cases import Case, CaseRun, Trouble
from tests.chaos.operators import Operator

_NOT_REACHED_SECONDS: Final = 10


async def ends(case_run: CaseRun, operator: Operator) -> bool:
    """Wait until the operator has died; False when the recovery is over and it lives."""
    try:
        await asyncio.wait_for(
            _either(operator.ended(), case_run.scenario.watched.becomes(lambda w: w.released, "its end")), 130
        )
    except DeadlineError as error:
        case_run.wrong.append(str(error))
    if operator.alive:
        with suppress(TimeoutError):
            await asyncio.wait_for(operator.ended(), _NOT_REACHED_SECONDS if _dies_later(case_run.case) else 0.0)
    return not operator.alive


async def _either(*awaitables: Awaitable[None]) -> None:
    tasks = [asyncio.ensure_future(one) for one in awaitables]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _dies_later(case: Case) -> bool:
    return case.trouble in {Trouble.DEATH, Trouble.SUCCESSION} or len(case.points) > 1
