"""A case that does not end does not hold up the campaign."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.cases import Result
from tests.chaos.deadline import result_of
from tests.chaos.plans import PLAIN


async def test_a_case_that_drops_its_cancellation_is_reported_with_where_it_waits() -> None:
    dropped = asyncio.Event()
    over = asyncio.Event()

    async def stubborn() -> None:
        while not over.is_set():
            try:
                await over.wait()
            except asyncio.CancelledError:
                dropped.set()

    @asynccontextmanager
    async def servers() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.gather(asyncio.ensure_future(stubborn()))

    async def never() -> Result:
        async with servers():
            pass
        raise AssertionError

    async with asyncio.timeout(5):
        result = await result_of(PLAIN, never(), seconds=0.05)
        await dropped.wait()
    over.set()

    assert not result.reached
    [violation] = result.violations
    assert violation.startswith("harness: the case has not ended in 0 s, and waits in Event.wait (locks.py:")
    places = [line.rpartition("<locals>.")[2].partition(" ")[0] for line in result.evidence.splitlines()]
    assert places == ["never", "_AsyncGeneratorContextManager.__aexit__", "servers", "stubborn", "Event.wait"]


async def test_a_case_that_raises_is_reported_as_a_violation() -> None:
    async def fails() -> Result:
        raise OSError("no such server")

    result = await result_of(PLAIN, fails())

    assert result.violations == ["harness: the case has raised OSError('no such server')"]
    assert "in fails" in result.evidence
