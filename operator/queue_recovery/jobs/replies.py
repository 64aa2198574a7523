"""A limit on what a job store may answer at once, also if it announces another one.

PyMongo takes messages of up to 48 MB, and larger ones from a server that says so in its greeting
(`pymongo/hello.py`). It has no option for it; the operator is the only user of the driver in its process.
"""

from typing import Any, Final, cast

from pymongo import network_layer
from pymongo.hello import Hello

LARGEST_REPLY: Final = 8 * 2**20
"""Bytes of one message. What the operator asks for takes far less: see `reading.MOST_READ`."""

_told = cast("property", Hello.max_message_size)


def _bounded(hello: Hello[Any]) -> int:
    """Return how large messages may be: what the server says, and no more than the limit."""
    return min(LARGEST_REPLY, cast("int", _told.__get__(hello)))


def bound_replies() -> None:
    """Have the driver refuse larger messages."""
    Hello.max_message_size = property(_bounded)  # type: ignore[assignment, method-assign]
    network_layer.MAX_MESSAGE_SIZE = LARGEST_REPLY  # type: ignore[attr-defined]
