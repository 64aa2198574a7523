"""How much one command reads or moves, so that the server answers others in between, however long a queue is."""

from collections.abc import Collection, Iterable

MOST_ENTRIES = 100
"""Entries of one command at most."""

MOST_BYTES = 256 * 1024
"""Bytes of one command at most, unless a single entry is larger."""

_FIRST_READ = 10
"""Entries of the first read, when it is not known yet how large they are."""


def fitting(sizes: Iterable[int]) -> int:
    """Return how many of the entries of these sizes fit into one batch, at least one."""
    count = total = 0
    for size in sizes:
        total += size
        if count and (count == MOST_ENTRIES or total > MOST_BYTES):
            break
        count += 1
    return count


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
