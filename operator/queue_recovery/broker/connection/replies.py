"""Limit the size of the server's replies, while they arrive.

The server is named by a Secret that the operator's owner did not write. Without a limit it decides how much memory the
operator uses: the driver buffers a reply to its last byte, and the size of a reply is only in its header
(https://redis.io/docs/latest/develop/reference/protocol-spec/). `hiredis` has no such limit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from redis import exceptions
from redis._parsers import _AsyncHiredisParser
from typing_extensions import override

LARGEST_REPLY: Final = 8 * 2**20
"""Bytes of one reply at most. The operator asks for far less: see `batches.MOST_BYTES` and `values.LARGEST`."""

_MOST_ELEMENTS: Final = 2**16
"""Elements of one reply at most: each costs the operator about 100 bytes of memory, however short it is."""

_LONGEST_LINE: Final = 2**16
"""Bytes of a header, a status, an error or a number at most."""

_limit: ContextVar[int] = ContextVar("limit", default=LARGEST_REPLY)


class ReplyTooLargeError(exceptions.RedisError):
    """A reply is larger than was asked for; unlike after a lost connection, the command is not sent again."""


@contextmanager
def replies_up_to(size: int) -> Iterator[None]:
    """Refuse replies of more bytes than this to the commands that are sent in the block."""
    token = _limit.set(size)
    try:
        yield
    finally:
        _limit.reset(token)


class Measure:
    """Measures replies of the protocol's version 2 as their bytes arrive. Pure."""

    def __init__(self) -> None:
        """Start at the beginning of a reply."""
        self._begun = b""
        """A line whose end has not arrived."""
        self._payload = 0
        """Bytes to come of a string."""
        self._start()

    def feed(self, data: bytes, limit: int) -> None:
        """Measure the next bytes of the connection, which may end one reply and begin another.

        Raises:
            ReplyTooLargeError: a reply is larger than the limit, or says that it will be.
            InvalidResponse: this is not the protocol.
        """
        at = 0
        if self._begun:
            data, self._begun = self._begun + data, b""
        while at < len(data):
            if self._payload:
                step = min(self._payload, len(data) - at)
                at += step
                self._payload -= step
                if not self._payload:
                    self._end_element()
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._begun = data[at:]
                if len(self._begun) > _LONGEST_LINE:
                    raise ReplyTooLargeError("a line is too long")
                return
            self._read_line(data[at:end], limit)
            at = end + 2

    def _read_line(self, line: bytes, limit: int) -> None:
        self._add(len(line) + 2, limit)
        match line[:1]:
            case b"$" if line != b"$-1":
                self._payload = _number(line) + 2
                self._add(self._payload, limit)
            case b"*" if line not in {b"*-1", b"*0"}:
                count = _number(line)
                self._elements += count
                if self._elements > _MOST_ELEMENTS:
                    raise ReplyTooLargeError("a reply has too many elements")
                self._missing += count
                self._end_element()
            case b"$" | b"*" | b"+" | b"-" | b":":
                self._end_element()
            case _:
                raise exceptions.InvalidResponse("this is not the Redis protocol")

    def _add(self, size: int, limit: int) -> None:
        self._size += size
        if self._size > limit:
            raise ReplyTooLargeError("a reply is too large")

    def _end_element(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._start()

    def _start(self) -> None:
        self._missing = 1
        self._elements = self._size = 0


class BoundedParser(_AsyncHiredisParser):
    """The driver's own parser, which receives no byte of a reply that is too large."""

    def __init__(self, socket_read_size: int) -> None:
        """Read this many bytes at once."""
        super().__init__(socket_read_size)
        self._measure = Measure()

    @override
    def on_connect(self, connection: object) -> None:
        """Start with the first reply of a new connection."""
        super().on_connect(connection)  # type: ignore[no-untyped-call]
        self._measure = Measure()

    @override
    async def read_from_socket(self) -> bool:
        """Read the next bytes, and measure them before the driver parses them.

        Raises:
            ReplyTooLargeError: the reply is too large; the driver closes the connection.
        """
        stream, reader = self._stream, self._reader
        data = await stream.read(self._read_size) if stream is not None else b""
        if not data or reader is None:
            raise exceptions.ConnectionError("the server has closed the connection")
        self._measure.feed(data, _limit.get())
        reader.feed(data)
        return True


def _number(line: bytes) -> int:
    digits = line[1:]
    if not digits.isdigit() or len(digits) > len(str(2**63)):
        raise exceptions.InvalidResponse("this is not the Redis protocol")
    return int(digits)
