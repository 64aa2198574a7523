"""The election among the operator's replicas: one leads and works, the others are standbys."""

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
    """One process's part in it."""

    def __init__(self, lease: KubernetesLease, candidate: Candidate, watchdog: Watchdog) -> None:
        """Take the lease, what is known so far, and what ends the process when the lease is not renewed."""
        self.won = asyncio.Event()
        self._standing_by = False
        """Whether another one holds the lease, as far as is known."""
        self._seen = -math.inf
        """When the lease was last read."""
        self._lease = lease
        self._candidate = candidate
        self._watchdog = watchdog
        self._leaving = asyncio.Event()
        self._trouble = ""
        """Why the lease can be neither acquired nor renewed, as last reported."""
        self._leader = ""
        """Who holds the lease while this process stands by, as last reported."""
        self._refused: float | None = None
        """Since when the API server does not grant it."""

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Take part in the election while the block runs; afterwards the lease is released, if it was held."""
        task = asyncio.ensure_future(self._run())
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self.leave()
            await task

    def waits_for(self) -> str:
        """Return what is missing for one that does not lead to be ready, in one line; empty: nothing."""
        return "" if self._standing_by else self._trouble or "waiting for the lease"

    def leave(self) -> None:
        """Let the lease be released, because nothing is running any more."""
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
        """Take in a failed look at the lease, and log its reason once.

        A refusal that may pass by itself is not reported as a missing right.
        """
        now = time.monotonic()
        self._standing_by &= now - self._seen < GRACE
        self._refused = (self._refused or now) if error.reason == Reason.FORBIDDEN else None
        if self._refused is not None and now - self._refused < GRACE:
            level, trouble = logging.INFO, "the API server does not grant the lease yet; trying again"
        else:
            level, trouble = logging.WARNING, f"the lease can be neither acquired nor renewed: {error.message}"
        if trouble != self._trouble:
            self._trouble, self._leader = trouble, ""
            _LOG.log(level, "%s", trouble)

    async def _try(self) -> float:
        """Look at the lease and do what follows; return the seconds until the next look."""
        retry = self._candidate.timing.retry_period
        record = await self._lease.read()
        now = time.monotonic()
        self._candidate = self._candidate.with_record(record, now)
        action = self._candidate.decide(now)
        if action is Action.LOST:
            exit_now(f"the lease is {(record and record.holder) or 'nobody'}'s")
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
            _LOG.info("the lease is renewed again")
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
                _LOG.info("the lease is released")
        self._watchdog.disarm()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or not self._leaving.is_set():
            exit_now(f"the election has ended: {'cancelled' if error is None else place_of(error)}")


class Unopposed:
    """The part of a process that asks nobody."""

    def __init__(self) -> None:
        """Win at once."""
        self.won = asyncio.Event()
        self.won.set()

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Do nothing."""
        yield

    def waits_for(self) -> str:
        """Return nothing: it leads from the beginning."""
        return ""

    def leave(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def election(settings: Settings) -> AsyncIterator[Election | Unopposed]:
    """Return this process's part, over a connection of its own: no other request can hold a renewal up."""
    if not settings.lease_seconds:
        yield Unopposed()
        return
    async with await api_server.connect() as api:
        timing = Timing(settings.lease_seconds)
        identity = f"{settings.pod_name}_{uuid4().hex[:8]}"
        lease = KubernetesLease(api, settings.pod_namespace, timing.request_timeout)
        yield Election(lease, Candidate(identity, timing), Watchdog())
