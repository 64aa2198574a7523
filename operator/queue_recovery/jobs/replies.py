"""Limit the size of a job store's messages, even if the server announces a larger one.

PyMongo takes messages of up to 48 MB, and larger ones from a server that says so in its greeting
(`pymongo/hello.py`). It has no option for this. The operator is the only user of the driver in its process.
"""

from typing import Any, Final, cast

from pymongo import network_layer
from pymongo.hello import Hello

MAX_REPLY_BYTES: Final = 8 * 2**20
"""Of one message. What the operator reads takes far less: see `reading.MAX_READ_BYTES`."""

_announced = cast("property", Hello.max_message_size)


def _bounded(hello: Hello[Any]) -> int:
    """Return the size that the server announces, or the limit if that is less."""
    return min(MAX_REPLY_BYTES, cast("int", _announced.__get__(hello)))


def bound_replies() -> None:
    """Make the driver refuse larger messages."""
    Hello.max_message_size = property(_bounded)  # type: ignore[assignment, method-assign]
    network_layer.MAX_MESSAGE_SIZE = MAX_REPLY_BYTES  # type: ignore[attr-defined]
