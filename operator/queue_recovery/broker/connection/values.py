"""Values as they are read: whole, or of a large one its size and its end."""

from dataclasses import dataclass
from typing import Final, NamedTuple

LARGEST: Final = 4 * 2**20
"""Bytes of a message that is read whole, at most. Larger ones are moved by the server and never read."""

END: Final = 8 * 2**10
"""Bytes that are read of the end of a larger one: its properties are there and, in `unacked`, its route."""


@dataclass(frozen=True)
class Large:
    """A value that is not read whole."""

    size: int
    """Of all of it, in bytes."""
    end: bytes


Value = bytes | Large


def size_of(value: Value) -> int:
    """Return the size of a value in the broker, in bytes."""
    return value.size if isinstance(value, Large) else len(value)


class Kind(NamedTuple):
    """The type and length of a key."""

    type: str
    """As TYPE has it."""
    length: int
    """Elements of a list, fields of a hash; 0 for other types."""


class Indexed(NamedTuple):
    """An entry of a hash that a sorted set lists."""

    field: bytes
    score: float
    size: int
    """Of its value, in bytes."""
