"""How long is waited before what has failed is tried again. Pure."""

from typing import Final

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 10.0
"""Seconds between two tries: doubled from the first to the longest."""


def longer(delay: float) -> float:
    """Return the delay that follows this one."""
    return min(delay * 2, LONGEST_DELAY)
