"""A network between the operator and one server, which can break in the ways that networks do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from typing import Self

from sandbox.processes import LOOPBACK

_CHUNK = 65536


class Network(Enum):
    """What it does with bytes."""

    OPEN = auto()
    CUT = auto()
    """Connections break, and no new one comes up."""
    DEAF = auto()
    """Half-closed: what the client sends arrives, and instead of the answer it sees the end of the connection."""
    SLOW = auto()
    """What the client sends is on its way until `deliver`."""


class Proxy:
    """Forwards connections to one port of a server."""

    def __init__(self, host: str, port: int) -> None:
        """Forward to that port."""
        self.port = 0
        self.held = 0
        """Bytes on their way."""
        self._target = (host, port)
        self._network = Network.OPEN
        self._connections: set[asyncio.Task[None]] = set()
        self._pairs: set[_Pair] = set()

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int, host: str = LOOPBACK) -> AsyncIterator[Self]:
        """Listen until the block is left."""
        proxy = cls(host, port)
        server = await asyncio.start_server(proxy._accept, LOOPBACK, 0)
        proxy.port = server.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            server.close()
            proxy.become(Network.CUT)
            await asyncio.gather(*proxy._connections)

    def become(self, network: Network) -> None:
        """Change what the network does, for the connections that there are and for new ones."""
        self._network = network
        if network is Network.CUT:
            for pair in list(self._pairs):
                pair.abort()
        for pair in self._pairs:
            pair.network = network

    def heal_for_others(self) -> None:
        """Let new connections through; what is on its way in those that there are stays so."""
        self._network = Network.OPEN

    async def deliver(self) -> None:
        """Let all arrive that is on its way, and wait until the server has answered or closed each connection."""
        for pair in list(self._pairs):
            if pair.network is Network.SLOW:
                await pair.deliver()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        try:
            there, back = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(self, reader, writer, there, back)
        pair.network = self._network
        if pair.network is Network.CUT:
            pair.abort()
        self._pairs.add(pair)
        try:
            await pair.run()
        finally:
            self._pairs.discard(pair)
            pair.abort()


class _Pair:
    """One connection from the client, and the one to the server that belongs to it."""

    def __init__(
        self,
        proxy: Proxy,
        client_in: asyncio.StreamReader,
        client_out: asyncio.StreamWriter,
        server_in: asyncio.StreamReader,
        server_out: asyncio.StreamWriter,
    ) -> None:
        self.network = Network.OPEN
        self._proxy = proxy
        self._client_in, self._client_out = client_in, client_out
        self._server_in, self._server_out = server_in, server_out
        self._on_its_way = bytearray()
        self._client_gone = False
        self._answered = asyncio.Event()

    def abort(self) -> None:
        self._client_out.transport.abort()
        self._server_out.transport.abort()

    async def deliver(self) -> None:
        sent = bytes(self._on_its_way)
        self._on_its_way.clear()
        self._proxy.held -= len(sent)
        self.network = Network.OPEN
        self._answered.clear()
        with suppress(OSError):
            self._server_out.write(sent)
            await self._server_out.drain()
            if sent:
                await asyncio.wait_for(self._answered.wait(), 10)
            if self._client_gone:
                self._server_out.write_eof()

    async def run(self) -> None:
        """Forward both ways until the server has closed its side."""
        asking = asyncio.ensure_future(self._forward())
        try:
            await self._answer()
        finally:
            self._answered.set()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def _forward(self) -> None:
        with suppress(OSError):
            while data := await self._client_in.read(_CHUNK):
                if self.network is Network.SLOW:
                    self._on_its_way += data
                    self._proxy.held += len(data)
                else:
                    self._server_out.write(data)
                    await self._server_out.drain()
        self._client_gone = True
        if self.network is not Network.SLOW:
            self._server_out.write_eof()

    async def _answer(self) -> None:
        with suppress(OSError):
            while data := await self._server_in.read(_CHUNK):
                self._answered.set()
                if self.network is Network.DEAF:
                    self._client_out.write_eof()
                    # The client receives nothing more; what it still sends arrives.
                    await self._server_in.read(-1)
                    return
                if not self._client_gone:
                    with suppress(OSError):
                        self._client_out.write(data)
                        await self._client_out.drain()
