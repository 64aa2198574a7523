"""The election among the operator's replicas: one leads and works, the others stand by."""

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import uuid4

from queue_recovery.controller import api_server
from queue_recovery.controller.leader import Action, Standing, Terms
from queue_recovery.controller.lease import KubernetesLease, microtime
from queue_recovery.controller.logs import place_of
from queue_recovery.controller.settings import Settings
from queue_recovery.controller.term import Term, die
from queue_recovery.recovery.errors import Unavailable

_LOG = logging.getLogger(__name__)


class Election:
    """One process's part in it."""

    def __init__(self, lease: KubernetesLease, standing: Standing, term: Term) -> None:
        """Take the lease, what is known so far, and the term that is ended when the lease is lost."""
        self.won = asyncio.Event()
        self.standing_by = False
        """Whether another one was seen to hold the lease when it was last looked at."""
        self._lease = lease
        self._standing = standing
        self._term = term
        self._leaving = asyncio.Event()
        self._trouble = ""

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Stand for election while the block runs; afterwards the lease is released, if it was held."""
        task = asyncio.ensure_future(self._run())
        task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self.leave()
            await task

    def leave(self) -> None:
        """Let the lease be released, because nothing is at work any more."""
        self._leaving.set()

    async def _run(self) -> None:
        while not self._leaving.is_set():
            pause = self._standing.terms.retry
            try:
                pause = await self._try()
                self._trouble = ""
            except Unavailable as error:
                self.standing_by = False
                if error.message != self._trouble:
                    self._trouble = error.message
                    _LOG.warning("the lease can neither be taken nor renewed: %s", error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._leaving.wait()
        await self._release()

    async def _try(self) -> float:
        """Look at the lease and do what follows; return the seconds until the next look."""
        retry = self._standing.terms.retry
        record = await self._lease.read()
        now = time.monotonic()
        self._standing = self._standing.sees(record, now)
        action = self._standing.decides(now)
        if action is Action.LOST:
            die(f"the lease is {(record and record.holder) or 'nobody'}'s")
        self.standing_by = action is Action.WAIT
        if action is Action.WAIT:
            return min(retry, self._standing.waits(now))
        if not await self._lease.write(self._standing.claim(microtime())):
            return retry
        self._standing = self._standing.holds(now)
        assert self._standing.until is not None
        self._term.lasts(self._standing.until)
        if action is Action.ACQUIRE:
            _LOG.info("leading as %s", self._standing.identity)
            self.won.set()
        return retry

    async def _release(self) -> None:
        if self._standing.until is None:
            return
        with suppress(Unavailable):
            self._standing = self._standing.sees(await self._lease.read(), time.monotonic())
            free = self._standing.release(microtime())
            if free is not None and await self._lease.write(free):
                _LOG.info("the lease is released")
        self._term.lasts(math.inf)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None or not self._leaving.is_set():
            die(f"the election has ended: {'cancelled' if error is None else place_of(error)}")


class Unopposed:
    """The part of a process that asks nobody."""

    standing_by = False

    def __init__(self) -> None:
        """Win at once."""
        self.won = asyncio.Event()
        self.won.set()

    @asynccontextmanager
    async def taking_part(self) -> AsyncIterator[None]:
        """Do nothing."""
        yield

    def leave(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def election(settings: Settings, term: Term) -> AsyncIterator[Election | Unopposed]:
    """Return this process's part, over a connection of its own: no other request can hold a renewal up."""
    if not settings.lease_seconds:
        yield Unopposed()
        return
    async with await api_server.connect() as api:
        terms = Terms(settings.lease_seconds)
        identity = f"{settings.pod_name}_{uuid4().hex[:8]}"
        lease = KubernetesLease(api, settings.pod_namespace, terms.request)
        yield Election(lease, Standing(identity, terms), term)
