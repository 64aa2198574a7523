"""A recovery that no server knows of: its resource, and a world in which nothing changes by itself."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from queue_recovery.api.recovery_status import QueueRecoveryStatus

NOW = datetime(2030, 1, 1, tzinfo=UTC)


class Stored:
    """Its status is kept in here, and it is always the same moment."""

    uid, namespace, name, created, cluster = "uid", "media", "stuck", NOW, "this-cluster"

    def __init__(self, status: QueueRecoveryStatus) -> None:
        """Take the status."""
        self.stored = status

    def now(self) -> datetime:
        """Return that moment."""
        return NOW

    async def changed(self, **_: object) -> None:
        """Never return."""
        await asyncio.Event().wait()

    @property
    def last_status(self) -> QueueRecoveryStatus:
        """The status."""
        return self.stored

    async def read(self) -> QueueRecoveryStatus:
        """Return the status."""
        return self.stored

    async def write(self, status: QueueRecoveryStatus) -> None:
        """Keep the status."""
        self.stored = status


def follow_delays(pauses: Sequence[float], delays: Sequence[float]) -> bool:
    """Tell whether each pause is one that jitter may make of its delay."""
    return len(pauses) == len(delays) and all(
        delay / 2 <= pause <= delay for pause, delay in zip(pauses, delays, strict=True)
    )
