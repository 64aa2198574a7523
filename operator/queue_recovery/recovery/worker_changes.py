"""Following workers: their next change, and what the status says when they take long."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.recovery import Recovery


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """What is waited for."""

    reason: str
    message: str
    until: datetime | None = None
    """When it is overdue; None: never."""
    overdue: str = ""
    """What the message says besides when it is overdue."""

    def report(self, now: datetime) -> tuple[str, str]:
        """Return the reason and the message."""
        late = self.overdue if self.until is not None and now >= self.until else ""
        return self.reason, f"{self.message}{late}"


_SOON: Final = 1.0
"""Seconds that may be waited before the status says what for: most waits are shorter."""


class WorkerChanges:
    """The workers' changes, as `Workers.follow` yields them."""

    def __init__(self, recovery: Recovery, changes: AsyncGenerator[Sequence[Worker], None]) -> None:
        """Take the recovery whose status is written, and the changes."""
        self._recovery = recovery
        self._changes = changes
        self._report_at: float | None = None
        """When the status is to say what is waited for; None: nothing was, the last time."""

    async def next(self, waiting: Awaited | None = None) -> Sequence[Worker]:
        """Return the workers after their next change.

        What is waited for is said after a second, also while other changes come all the time, and again once it is
        overdue or `suspend` has been set.
        """
        now = asyncio.get_running_loop().time()
        if waiting is None:
            self._report_at = None
        elif self._report_at is None:
            self._report_at = now + _SOON
        later = asyncio.ensure_future(anext(self._changes))
        try:
            if waiting is not None and self._report_at is not None:
                await asyncio.wait({later}, timeout=max(0.0, self._report_at - now))
                if asyncio.get_running_loop().time() >= self._report_at:
                    await self._report_until_change(waiting, later)
            workers = await later
        finally:
            later.cancel()
            await asyncio.wait({later})
        now_seen = self._recovery.environment.now()
        self._recovery.last_seen |= {address: now_seen for worker in workers for address in worker.addresses}
        return workers

    async def _report_until_change(self, waiting: Awaited, later: "asyncio.Future[Sequence[Worker]]") -> None:
        """Say what is waited for until a change comes; what is said already is not written again."""
        while True:
            await self._recovery.save(progress=waiting.report(self._recovery.environment.now()))
            if (await asyncio.wait({later}, timeout=_SOON))[0]:
                return
