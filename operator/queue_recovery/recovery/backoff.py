"""How long to wait before a failed step is tried again. Pure, except for its random source."""

import random
from collections.abc import Callable
from typing import Final

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 10.0
"""Seconds between two tries: doubled after each, from the first to the longest."""


def longer(delay: float) -> float:
    """Return the delay that follows this one."""
    return min(delay * 2, LONGEST_DELAY)


def jittered(delay: float, source: Callable[[], float] = random.random) -> float:
    """Return a random pause between half of this delay and all of it.

    Otherwise, all recoveries that lost the same server would try again at the same time.

    Args:
        delay: seconds.
        source: returns a random number from 0 to 1.
    """
    return delay * (1 + source()) / 2
