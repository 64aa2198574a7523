"""The servers that the tests of this folder share."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.chaos import plans
from tests.chaos.cases import Case, Trouble
from tests.chaos.points import Crossing
from tests.chaos.servers import Servers
from tests.chaos.troubles import run


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def servers() -> AsyncIterator[Servers]:
    """A cluster, a broker and a job store, without an operator.

    It ends with the tests of this folder: also an idle one takes memory, and a little of the processor.
    """
    async with Servers.open() as opened:
        yield opened


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def steps(servers: Servers) -> list[Crossing]:
    """The effects of an undisturbed recovery that come in every run, in their order."""
    result = await run(servers, Case(trouble=Trouble.NONE))
    assert not result.violations
    return plans.steps(plans.effects(result.traces[0]))
