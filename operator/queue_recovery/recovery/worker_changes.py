"""The changes of workers, with a report in the status while the recovery waits for one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.ports import Worker
from queue_recovery.recovery.recovery import Recovery


@dataclass(frozen=True, kw_only=True)
class Awaited:
    """What the recovery waits for, as the status reports it."""

    reason: str
    message: str
    until: datetime | None = None
    """When the wait is overdue; None: never."""
    overdue: str = ""
    """Text that is appended to the message when the wait is overdue."""

    def report(self, now: datetime) -> tuple[str, str]:
        """Return the reason and the message at this time."""
        late = self.overdue if self.until is not None and now >= self.until else ""
        return self.reason, f"{self.message}{late}"


def awaited_rollout(workers: Sequence[Worker]) -> Awaited | None:
    """Return what the workers' rollouts wait for; None: they are complete. Pure."""
    rollouts = "; ".join(f'"{w.name}": {w.rollout}' for w in workers if w.rollout is not None)
    return Awaited(reason=Reason.AWAITING_ROLLOUT, message=rollouts) if rollouts else None


_SOON: Final = 1.0
"""Seconds before the status reports a wait; most waits are shorter."""


class WorkerChanges:
    """The workers' changes, as `Workers.follow` yields them."""

    def __init__(self, recovery: Recovery, changes: AsyncGenerator[Sequence[Worker], None]) -> None:
        """Store the recovery whose status is written, and the changes."""
        self._recovery = recovery
        self._changes = changes
        self._report_at: float | None = None
        """When the status reports the wait; None: the last call had none."""

    async def next(self, waiting: Awaited | None = None) -> Sequence[Worker]:
        """Return the workers after their next change.

        A wait is reported after a second, even if unrelated changes keep coming, and again when it is overdue or
        `suspend` was set.
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
        """Report the wait until a change comes; an unchanged report is not written again."""
        while True:
            await self._recovery.save(progress=waiting.report(self._recovery.environment.now()))
            if (await asyncio.wait({later}, timeout=_SOON))[0]:
                return
