"""Numbers and lists in messages."""

from collections.abc import Iterable, Sequence
from typing import Final

_NAMED: Final = 10


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural with an s unless it is 1.

    >>> counted(1, "message"), counted(0, "job")
    ('1 message', '0 jobs')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def named(names: Sequence[str], *, total: int | None = None, most: int = _NAMED) -> str:
    """Return the first names, and how many more there are; `total`: their number, if `names` is a part.

    >>> named(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    shown = names[:most]
    more = (len(names) if total is None else total) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def quoted(names: Iterable[str]) -> str:
    """Return the first names in double quotes, and how many more there are.

    >>> quoted(["a", "b"])
    '"a", "b"'
    """
    return named([f'"{name}"' for name in names])
