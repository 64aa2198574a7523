"""Progress of a long step, written to the status every few seconds."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Final, TypeVar

from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.recovery import Recovery

_T = TypeVar("_T")

_SOON: Final = 1.0
"""Seconds until the first report; most steps are complete before that."""

_EVERY: Final = 5.0
"""Seconds between two reports, each of which is a write."""


async def with_progress(
    recovery: Recovery, step: Coroutine[object, object, _T], report: Callable[[], Awaitable[tuple[str, str]]]
) -> _T:
    """Return the step's result; while it runs, write the reason and message that `report` returns.

    The step itself must not write the status. A report that cannot be made is omitted.
    """
    working = asyncio.ensure_future(step)
    try:
        wait = _SOON
        while not (await asyncio.wait({working}, timeout=wait))[0]:
            with suppress(RecoveryError):
                await recovery.save(progress=await report())
            wait = _EVERY
        return await working
    finally:
        working.cancel()
        await asyncio.wait({working})
