"""Telling how far a long step is, at most every few seconds, while it goes on."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Final, TypeVar

from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.recovery import Recovery

_T = TypeVar("_T")

_SOON: Final = 1.0
"""Seconds until the first word: most steps are over by then."""

_EVERY: Final = 5.0
"""Seconds from one word to the next, each of which is a write."""


async def with_progress(
    recovery: Recovery, step: Coroutine[object, object, _T], doing: Callable[[], Awaitable[tuple[str, str]]]
) -> _T:
    """Return what the step returns; meanwhile write what is being done, as `doing` says it (reason, message).

    The step itself may not write the status. A word that cannot be said is left out.
    """
    working = asyncio.ensure_future(step)
    try:
        wait = _SOON
        while not (await asyncio.wait({working}, timeout=wait))[0]:
            with suppress(RecoveryError):
                await recovery.save(progress=await doing())
            wait = _EVERY
        return await working
    finally:
        working.cancel()
        await asyncio.wait({working})
