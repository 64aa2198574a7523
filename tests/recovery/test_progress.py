"""A long step reports its progress, and a short one writes nothing."""

import asyncio

import pytest

from queue_recovery.recovery import progress as module
from queue_recovery.recovery.progress import with_progress
from sandbox.processes import until
from tests.recovery.fakes import Case


class Counter:
    """A step's progress, which moves each time it is asked for."""

    def __init__(self) -> None:
        """Begin at 0."""
        self.moved = 0

    async def __call__(self) -> tuple[str, str]:
        """Return the reason and the message."""
        self.moved += 1
        return "Purging", f"{self.moved} moved"


async def test_a_long_step_reports_its_progress_repeatedly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SOON", 0.01)
    monkeypatch.setattr(module, "_EVERY", 0.01)
    case, over = Case(), asyncio.Event()
    recovery = case.recovery()

    async def step() -> str:
        await over.wait()
        return "done"

    working = asyncio.ensure_future(with_progress(recovery, step(), Counter()))

    async def has_reported() -> bool:
        return case.status.message == "3 moved"

    await until(has_reported, "the third report")
    over.set()
    assert await working == "done"
    assert (case.status.phase, recovery.status) == ("Pending", case.status)


async def test_a_short_step_reports_nothing_and_its_error_is_passed_on() -> None:
    case, counter = Case(), Counter()

    async def step() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await with_progress(case.recovery(), step(), counter)

    assert counter.moved == 0
    assert case.resource.written == []
