"""A rate limit for the start of operations."""

import asyncio
import math
import time
from collections.abc import Callable


class Pace:
    """Spreads starts evenly over time, with a burst after an idle period."""

    def __init__(self, per_second: float, *, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Set the starts in each second, the size of a burst, and a monotonic clock in seconds."""
        self._interval = 1 / per_second
        self._lead = self._interval * (at_once - 1)
        self._clock = clock
        self._next = -math.inf

    @property
    def is_at_rest(self) -> bool:
        """Tell whether a full burst is available."""
        return self._next <= self._clock() - self._lead

    def delay(self) -> float:
        """Reserve the next free start, and return the seconds until then."""
        now = self._clock()
        mine = max(self._next, now - self._lead)
        self._next = mine + self._interval
        return max(0.0, mine - now)

    async def turn(self) -> None:
        """Wait for the next free start, in the order of the calls."""
        await asyncio.sleep(self.delay())
