"""Cancelling a call at each moment of it, one after the other."""

import asyncio
from collections.abc import Awaitable, Callable


async def unheard(call: Callable[[], Awaitable[object]]) -> list[int]:
    """Return the moments at which a call was cancelled and went on, in turns of the event loop from its beginning."""
    moments: list[int] = []
    turns = 0
    while True:
        await call()  # so that a connection is there again
        task = asyncio.ensure_future(call())
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            return moments
        await asyncio.wait({task})
        if not task.cancelled():
            moments.append(turns)
        turns += 1
