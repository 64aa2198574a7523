"""A server that speaks MongoDB's wire protocol and gives the answers of a test.

It is the primary of a replica set with one member, and understands only what the driver sends in these tests. Format:
the MongoDB manual, "MongoDB Wire Protocol".
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import bson

Reply = dict[str, object]
Command = dict[str, object]

_HEADER = struct.Struct("<iiii")
_MESSAGE = 2013
_QUERY = 2004
_REPLY = 1


@dataclass
class ScriptedServer:
    """A listening server."""

    port: int
    commands: list[Command] = field(default_factory=list)
    """The commands except greetings, as the driver sent them."""
    greetings: list[Command] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def named(self, name: str) -> list[Command]:
        return [command for command in self.commands if next(iter(command)) == name]


@asynccontextmanager
async def scripted(
    reply: Callable[[str, Command], Reply], *, members: Sequence[str] = ()
) -> AsyncIterator[ScriptedServer]:
    """Serve on a free port.

    Args:
        reply: returns the answer to a command, from its name and body; greetings are answered already.
        members: more members of the replica set; this server is a secondary then.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            while True:
                length, request, _, kind = _HEADER.unpack(await reader.readexactly(_HEADER.size))
                body = await reader.readexactly(length - _HEADER.size)
                command = _queried(body) if kind == _QUERY else _asked(body)
                answer = bson.encode(_answer(command))
                if kind == _QUERY:
                    payload, code = struct.pack("<iqii", 8, 0, 0, 1) + answer, _REPLY
                else:
                    payload, code = struct.pack("<iB", 0, 0) + answer, _MESSAGE
                writer.write(_HEADER.pack(_HEADER.size + len(payload), 1, request, code) + payload)
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(command: Command) -> Reply:
        name = next(iter(command))
        if name.lower() in {"hello", "ismaster"}:
            server.greetings.append(command)
            address = f"127.0.0.1:{server.port}"
            return {
                "ok": 1,
                "helloOk": True,
                "isWritablePrimary": not members,
                "secondary": bool(members),
                "setName": "rs0",
                "hosts": [address, *members],
                "me": address,
                "maxWireVersion": 21,
                "minWireVersion": 0,
            }
        server.commands.append(command)
        return reply(name, command)

    serving: set[asyncio.Task[object]] = set()
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    server = ScriptedServer(listener.sockets[0].getsockname()[1])
    try:
        yield server
    finally:
        listener.close()
        # All clients have closed their connections, so these tasks end.
        await asyncio.gather(*serving)


def _queried(body: bytes) -> Command:
    start = body.index(b"\0", 4) + 1 + 8
    return _decoded(body[start:])


def _asked(body: bytes) -> Command:
    """Read an OP_MSG: one document, and the lists of documents that are sent outside of it."""
    command: Command = {}
    at = 4
    while at < len(body):
        kind, (size,) = body[at], struct.unpack_from("<i", body, at + 1)
        part = body[at + 1 : at + 1 + size]
        if kind == 0:
            command |= _decoded(part)
        else:
            end = part.index(b"\0", 4)
            command[part[4:end].decode()] = bson.decode_all(part[end + 1 :])
        at += 1 + size
    return command


def _decoded(part: bytes) -> Command:
    command: Command = bson.decode(part)
    return command
