"""Servers that answer nothing useful, and names that DNS does not resolve."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import NoReturn

import pytest

Accept = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(accept: Accept) -> AsyncIterator[int]:
    """Serve something else than the client expects; the block gets the port."""
    open_ones: list[asyncio.StreamWriter] = []

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.append(writer)
        await accept(reader, writer)

    server = await asyncio.start_server(accepted, "127.0.0.1")
    yield server.sockets[0].getsockname()[1]
    for writer in open_ones:
        writer.close()
    server.close()
    await server.wait_closed()


def resolve_no_name(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Have every look-up of a name fail with this error."""

    def resolve(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@contextmanager
def silent_dns(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have look-ups of names wait until the block is over."""
    given_up = threading.Event()

    def resolve(*_: object, **__: object) -> NoReturn:
        given_up.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "late")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    yield
    given_up.set()
