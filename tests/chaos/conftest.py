"""One arena for the sample of the campaign."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.chaos import plans
from tests.chaos.arena import Arena
from tests.chaos.cases import Case, Trouble
from tests.chaos.plays import run
from tests.chaos.points import Crossing


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def arena() -> AsyncIterator[Arena]:
    """A cluster, a broker and a job store, without an operator.

    It ends with the tests of this folder: an idle control plane takes a twentieth of the machine.
    """
    async with Arena.open() as opened:
        yield opened


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def steps(arena: Arena) -> list[Crossing]:
    """The effects of an undisturbed recovery that come in every run, in their order."""
    result = await run(arena, Case(trouble=Trouble.NONE))
    assert not result.violations
    return plans.steps(plans.effects(result.traces[0]))
