"""Following workers: their next change, and what the status says when they take long."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final

from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.scope import Scope

Waiting = tuple[str, str]
"""What is waited for: reason and message."""

_SOON: Final = 1.0
"""Seconds that may be waited before the status says what for: most waits are shorter."""


class Changes:
    """The workers' changes, as `Workers.follow` yields them."""

    def __init__(self, scope: Scope, changes: AsyncGenerator[Sequence[Worker], None]) -> None:
        """Take the recovery whose status is written, and the changes."""
        self._scope = scope
        self._changes = changes
        self._told_from: float | None = None
        """When the status is to say what is waited for; None: nothing was, the last time."""

    async def next(self, waiting: Waiting | None = None) -> Sequence[Worker]:
        """Return the workers after their next change.

        What is waited for is said after a second, also while other changes come all the time.
        """
        now = asyncio.get_running_loop().time()
        if waiting is None:
            self._told_from = None
        elif self._told_from is None:
            self._told_from = now + _SOON
        later = asyncio.ensure_future(anext(self._changes))
        try:
            if waiting is not None and self._told_from is not None:
                await asyncio.wait({later}, timeout=max(0.0, self._told_from - now))
                if asyncio.get_running_loop().time() >= self._told_from:
                    await self._scope.save(doing=waiting)
            return await later
        finally:
            later.cancel()
            await asyncio.wait({later})
