"""Cancel a call at each step of it, and find the cancellations that have no effect."""

import asyncio
from collections.abc import Awaitable, Callable


async def swallowed(call: Callable[[], Awaitable[object]]) -> list[int]:
    """Cancel a call at every step; return the steps at which it went on nevertheless.

    A step is one iteration of the event loop, counted from the beginning of the call.
    """
    moments: list[int] = []
    turns = 0
    while True:
        await call()  # so that there is a connection again
        task = asyncio.ensure_future(call())
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            return moments
        await asyncio.wait({task})
        if not task.cancelled():
            moments.append(turns)
        turns += 1
