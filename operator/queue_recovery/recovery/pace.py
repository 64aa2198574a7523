"""A pace: how often something may begin, so that many at once make no burst."""

import asyncio
import math
import time
from collections.abc import Callable


class Pace:
    """Lets one begin after the other, with some at once after a rest."""

    def __init__(self, per_second: float, *, at_once: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Take how many may begin in each second, how many after a rest, and a monotonic clock in seconds."""
        self._interval = 1 / per_second
        self._lead = self._interval * (at_once - 1)
        self._clock = clock
        self._next = -math.inf

    @property
    def is_at_rest(self) -> bool:
        """Tell whether as many may begin at once as after any rest."""
        return self._next <= self._clock() - self._lead

    def delay(self) -> float:
        """Take the next free moment, and return the seconds until then."""
        now = self._clock()
        mine = max(self._next, now - self._lead)
        self._next = mine + self._interval
        return max(0.0, mine - now)

    async def turn(self) -> None:
        """Wait until the next one may begin; in the order of the calls."""
        await asyncio.sleep(self.delay())
