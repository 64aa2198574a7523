"""The election among the operator's replicas: one leads, the others stand by."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from queue_recovery.api.reasons import Reason
from queue_recovery.controller import api_server
from queue_recovery.controller.api_server import GRACE
from queue_recovery.controller.candidate import Action, Candidate, Timing
from queue_recovery.controller.lease import KubernetesLease, microtime
from queue_recovery.controller.logs import place_of
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.watchdog import Watchdog, exit_now
from queue_recovery.recovery.errors import RecoveryError

_LOG = logging.getLogger(__name__)


class Election:
    """The part of one process in the election."""

    def __init__(self, lease: KubernetesLease, candidate: Candidate, watchdog: Watchdog) -> None:
        """Take the lease, the candidate, and the watchdog that guards a held lease."""
        self.won = asyncio.Event()
        self._standing_by = False
        """Whether another process held the lease when it was last read."""
        self._seen = -math.inf
        """When the lease was last read."""
        self._lease = lease
        self._candidate = candidate
        self._watchdog = watchdog
        self._leaving = asyncio.Event()
        self._trouble = ""
        """Why the lease cannot be acquired or renewed, as last reported."""
        self._leader = ""
        """Who holds the lease while this process stands by, as last reported."""
        self._refused: float | None = None
        """Since when the API server has denied access to it."""

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Take part in the election while the block runs; then release the lease."""
        task = asyncio.ensure_future(self._run())
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self.leave()
            await task

    def waits_for(self) -> str:
        """Return in one line why a process that does not lead is not ready; empty: it is."""
        return "" if self._standing_by else self._trouble or "waiting for the lease"

    def leave(self) -> None:
        """Release the lease, because nothing is running any more."""
        self._leaving.set()

    async def _run(self) -> None:
        while not self._leaving.is_set():
            pause = self._candidate.timing.retry_period
            try:
                pause = await self._try()
                self._trouble, self._refused = "", None
            except RecoveryError as error:
                self._report(error)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._leaving.wait()
        await self._release()

    def _report(self, error: RecoveryError) -> None:
        """Log once why the lease cannot be read or written.

        A denial that may pass by itself is not reported as a missing permission.
        """
        now = time.monotonic()
        self._standing_by &= now - self._seen < GRACE
        self._refused = (self._refused or now) if error.reason == Reason.FORBIDDEN else None
        if self._refused is not None and now - self._refused < GRACE:
            level, trouble = logging.INFO, "the API server does not grant access to the lease yet. Trying again"
        else:
            level, trouble = logging.WARNING, f"the lease cannot be acquired or renewed: {error.message}"
        if trouble != self._trouble:
            self._trouble, self._leader = trouble, ""
            _LOG.log(level, "%s", trouble)

    async def _try(self) -> float:
        """Read the lease and act on it; return the seconds until the next try."""
        retry = self._candidate.timing.retry_period
        record = await self._lease.read()
        now = time.monotonic()
        self._candidate = self._candidate.with_record(record, now)
        action = self._candidate.decide(now)
        if action is Action.LOST:
            holder = record.holder if record is not None else ""
            exit_now(f"the lease is held by {holder}" if holder else "the lease has no holder any more")
        self._seen, self._standing_by = now, action is Action.WAIT
        if action is Action.WAIT:
            self._stand_by(record.holder if record is not None else "")
            return min(retry, self._candidate.seconds_to_wait(now))
        if not await self._lease.write(self._candidate.claim(microtime())):
            return retry
        self._candidate = self._candidate.with_claim_stored(now)
        assert self._candidate.until is not None
        self._watchdog.arm(self._candidate.until)
        if action is Action.ACQUIRE:
            _LOG.info("leading as %s", self._candidate.identity)
            self.won.set()
        elif self._trouble:
            _LOG.info("the lease was renewed again")
        return retry

    def _stand_by(self, leader: str) -> None:
        if leader != self._leader:
            self._leader = leader
            _LOG.info("standing by: %s leads", leader)

    async def _release(self) -> None:
        if self._candidate.until is None:
            return
        with suppress(RecoveryError):
            self._candidate = self._candidate.with_record(await self._lease.read(), time.monotonic())
            free = self._candidate.release(microtime())
            if free is not None and await self._lease.write(free):
                _LOG.info("the lease was released")
        self._watchdog.disarm()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or not self._leaving.is_set():
            exit_now(f"the election has ended: {'cancelled' if error is None else place_of(error)}")


class Unopposed:
    """The part of a process that leads without an election."""

    def __init__(self) -> None:
        """Win at once."""
        self.won = asyncio.Event()
        self.won.set()

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Do nothing."""
        yield

    def waits_for(self) -> str:
        """Return nothing: the process leads from the beginning."""
        return ""

    def leave(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def election(settings: Settings) -> AsyncIterator[Election | Unopposed]:
    """Return the part of this process.

    It has a connection of its own, so that no other request delays a renewal.
    """
    if not settings.lease_seconds:
        yield Unopposed()
        return
    async with await api_server.connect() as api:
        timing = Timing(settings.lease_seconds)
        identity = f"{settings.pod_name}_{uuid4().hex[:8]}"
        lease = KubernetesLease(api, settings.pod_namespace, timing.request_timeout)
        yield Election(lease, Candidate(identity, timing), Watchdog())
