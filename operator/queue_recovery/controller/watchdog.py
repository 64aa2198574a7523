"""The watchdog of the lease: it ends the process when a renewal is overdue.

The process ends at once, as SIGKILL would end it: nothing is written any more, and recoveries go on from their status
wherever the next leader runs.
"""

import logging
import os
import signal
import time
from typing import NoReturn

_LOG = logging.getLogger(__name__)
_SOONEST = 1e-6
"""Seconds; a timer of 0 would be disarmed."""


class Watchdog:
    """The timer of the process in the kernel, so a blocked event loop ends too."""

    def __init__(self) -> None:
        """Take the process's SIGALRM; only the main thread can."""
        signal.signal(signal.SIGALRM, lambda *_: exit_now("the lease was not renewed in time"))

    def arm(self, until: float) -> None:
        """End the process at that monotonic time, unless this is called again before."""
        signal.setitimer(signal.ITIMER_REAL, max(until - time.monotonic(), _SOONEST))

    def disarm(self) -> None:
        """Let the process go on without a limit."""
        signal.setitimer(signal.ITIMER_REAL, 0)


def exit_now(why: str) -> NoReturn:
    """End the process with exit code 1, without any cleanup."""
    try:
        _LOG.critical("exiting at once, so that nothing more is written: %s", why)
    finally:
        os._exit(1)
