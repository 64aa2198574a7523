"""A connection to the API server that a test can cut."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sandbox.cluster import Sandbox
from sandbox.processes import LOOPBACK


class Link:
    """A way to the API server that can be made to hang, as a network does: nothing arrives, nothing is closed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The API server's address through it."""
        return f"https://{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._passing.clear()

    async def listen(self) -> None:
        """Accept connections, after `close` on the same port as before."""
        self._server = await asyncio.start_server(self._join, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for writer in self._writers:  # also of those whose task had not begun
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
        self._writers.clear()

    @classmethod
    @asynccontextmanager
    async def open(cls, sandbox: Sandbox) -> AsyncIterator["Link"]:
        """Listen until the block is left."""
        made = cls(int(sandbox.control_plane.admin.server.rpartition(":")[2]))
        await made.listen()
        try:
            yield made
        finally:
            await made.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there, back = await asyncio.open_connection(LOOPBACK, self._target)
        self._writers.add(back)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._pass(source, sink))
            self._tasks.add(task)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(2**16):
                await self._passing.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            return
        finally:
            sink.close()
