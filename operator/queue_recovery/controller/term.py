"""How long this process may go on: without a limit until it leads; then until its lease's time is over.

When it is over the process ends at once, as SIGKILL would end it: nothing is written any more, and a recovery goes on
from its status wherever the next leader is. The time is looked at before each turn of the event loop, so that a process
that was paused and wakes does nothing of what has waited for it meanwhile.
"""

import asyncio
import logging
import math
import os
import selectors
import time
from typing import NoReturn

from typing_extensions import override

_LOG = logging.getLogger(__name__)


class Term:
    """The time that is left."""

    def __init__(self) -> None:
        """Begin without an end."""
        self._until = math.inf
        self._alarm: asyncio.TimerHandle | None = None

    def lasts(self, until: float) -> None:
        """Let it end then, by the monotonic clock, unless this is called again before; infinity: it does not."""
        self._until = until
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if until < math.inf:
            self._alarm = asyncio.get_running_loop().call_later(until - time.monotonic(), self.check)

    def check(self) -> None:
        """End the process if the time is over."""
        if time.monotonic() >= self._until:
            die("the lease was not renewed in time")

    def new_loop(self) -> asyncio.AbstractEventLoop:
        """Return an event loop that does not turn once the time is over."""
        return asyncio.SelectorEventLoop(_Guarded(self))


class _Guarded(selectors.DefaultSelector):
    def __init__(self, term: Term) -> None:
        super().__init__()
        self._term = term

    @override
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(timeout)
        self._term.check()
        return found


def die(why: str) -> NoReturn:
    """End the process at once."""
    _LOG.critical("ending at once, so that nothing is written any more: %s", why)
    os._exit(1)
