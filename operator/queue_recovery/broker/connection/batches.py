"""How much one command reads or moves, so that the server answers others in between, however long a queue is."""

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
"""Entries of the first read, when it is not known yet how large they are."""


class BatchBudget:
    """How much the next script may move: half as much after a slow one, twice as much after a quick one."""

    def __init__(self, round_trip: float) -> None:
        """Begin with whole batches; `round_trip` is how long a command takes that does nothing, in seconds."""
        self._round_trip = round_trip
        self._share = 1.0

    @classmethod
    async def measured(cls, ping: Callable[[], Awaitable[None]]) -> Self:
        """Time a PING first: the network's time is not the server's."""
        began = perf_counter()
        await ping()
        return cls(perf_counter() - began)

    @property
    def entries(self) -> int:
        """How many entries the next batch may have."""
        return int(MOST_ENTRIES * self._share)

    @property
    def size(self) -> int:
        """How many bytes the next batch may have, unless a single entry is larger."""
        return int(MOST_BYTES * self._share)

    def fitting(self, sizes: Iterable[int]) -> int:
        """Return how many of the entries of these sizes fit into the next batch, at least one."""
        count = total = 0
        for size in sizes:
            total += size
            if count and (count == self.entries or total > self.size):
                break
            count += 1
        return count

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Time the script that is run in the block, and adapt the next batch."""
        began = perf_counter()
        yield
        took = perf_counter() - began
        self._round_trip = min(self._round_trip, took)
        if took - self._round_trip > SLOW_SECONDS:
            self._share = max(_SMALLEST, self._share / 2)
        elif took - self._round_trip < SLOW_SECONDS / 2:
            self._share = min(1.0, self._share * 2)


class PageSize:
    """How many entries the next read asks for, by the size of those that the last one returned."""

    def __init__(self, first: int = _FIRST_READ) -> None:
        """Begin with few entries: they may be large."""
        self.entries = first

    def note(self, sizes: Collection[int]) -> None:
        """Adapt to the sizes of the entries that were read; an empty page changes nothing."""
        if sizes:
            fitting = MOST_BYTES * len(sizes) // max(1, sum(sizes))
            self.entries = max(1, min(MOST_ENTRIES, fitting))
