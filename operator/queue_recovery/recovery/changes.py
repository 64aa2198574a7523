"""Following workers: their next change, and what the status says when that does not come soon."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.scope import Scope

Changes = AsyncGenerator[Sequence[Worker], None]

Waiting = tuple[str, str]
"""What is waited for: reason and message."""

_SOON: Final = 1.0
"""Seconds that the next change may take before the status says what is waited for: most are quicker."""


async def next_change(scope: Scope, changes: Changes, waiting: Waiting | None = None) -> Sequence[Worker]:
    """Return the workers after their next change; say what is waited for if that does not come soon."""
    later = asyncio.ensure_future(anext(changes))
    try:
        await asyncio.wait({later}, timeout=_SOON)
        if waiting is not None and not later.done():
            await scope.save(doing=waiting)
        return await later
    finally:
        later.cancel()
        await asyncio.wait({later})
