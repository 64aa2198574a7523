"""How much one command reads or moves, so that the server serves others in between, however much is in a queue."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Self

MOST_ENTRIES = 100
"""Entries of one command at most."""

MOST_BYTES = 256 * 1024
"""Bytes of one command at most, unless a single entry is larger."""

SLOW_SECONDS = 0.005
"""A script that takes longer makes the next one smaller; one that takes less than half of it makes it larger."""

_SMALLEST = 1 / 16

_FIRST_READ = 10
"""Entries of the first read, when nobody knows yet how large they are."""


class Bite:
    """How much the next script may move: half as much after a slow one, twice as much after a quick one."""

    def __init__(self, trip: float) -> None:
        """Begin with whole bites; `trip` is what a command costs that does nothing, in seconds."""
        self._trip = trip
        self._share = 1.0

    @classmethod
    async def of(cls, ping: Callable[[], Awaitable[None]]) -> Self:
        """Time a PING: the way to the server is no time of the server's own."""
        began = perf_counter()
        await ping()
        return cls(perf_counter() - began)

    @property
    def entries(self) -> int:
        """How many entries it may hold."""
        return int(MOST_ENTRIES * self._share)

    @property
    def size(self) -> int:
        """How many bytes it may hold, unless a single entry is larger."""
        return int(MOST_BYTES * self._share)

    def holds(self, sizes: Iterable[int]) -> int:
        """Return how many of the entries of these sizes it may hold from the first one on, at least one."""
        count = total = 0
        for size in sizes:
            total += size
            if count and (count == self.entries or total > self.size):
                break
            count += 1
        return count

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Learn from the script that is run in the block."""
        began = perf_counter()
        yield
        took = perf_counter() - began
        self._trip = min(self._trip, took)
        if took - self._trip > SLOW_SECONDS:
            self._share = max(_SMALLEST, self._share / 2)
        elif took - self._trip < SLOW_SECONDS / 2:
            self._share = min(1.0, self._share * 2)


class Portion:
    """How many entries the next read asks for, by the size of those that the last one returned."""

    def __init__(self, first: int = _FIRST_READ) -> None:
        """Begin with few: they may be large."""
        self.entries = first

    def note(self, sizes: Collection[int]) -> None:
        """Learn from the sizes of what was read; reading nothing teaches nothing."""
        if sizes:
            fitting = MOST_BYTES * len(sizes) // max(1, sum(sizes))
            self.entries = max(1, min(MOST_ENTRIES, fitting))
