"""A server that speaks MongoDB's wire protocol: PyPI's nx-27017, which keeps its data in SQLite files.

It is close to MongoDB and not the same; what it gets wrong is listed in the project's notes on the sandbox.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Self

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from sandbox.processes import LOOPBACK, Process, Scope, free_port, until

if TYPE_CHECKING:
    from pathlib import Path

_ANSWER_MILLISECONDS: Final = 500


class JobStore:
    """A running server, and what can happen to one. Its data survives its process, as long as its scope lasts."""

    def __init__(self, scope: Scope, port: int, process: Process) -> None:
        self.port = port
        self.process = process
        """Its process now; another after a restart."""
        self._scope = scope

    @classmethod
    async def start(cls, scope: Scope, *, port: int | None = None) -> Self:
        """Start a server with no data and wait until it answers.

        Args:
            scope: where it lives and with what it dies at the latest.
            port: a free one is found without it.

        Raises:
            DeadlineError: it ended or did not answer in time; its log is in the message.
        """
        port = port or free_port()
        return cls(scope, port, await _start(scope, port))

    @property
    def url(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}/"

    async def stop(self) -> None:
        """Shut it down as an administrator would, and wait for its end."""
        await self.process.stop()

    async def kill(self) -> None:
        """Kill it as a crash of its machine would, and wait for its end."""
        await self.process.kill()

    async def restart(self) -> None:
        """Start it again on the same port with the same data, ending it first if it still runs."""
        if self.process.exit_code is None:
            await self.stop()
        self.process = await _start(self._scope, self.port)

    def pause(self) -> None:
        """Stop it from answering, with its connections open, until `resume`."""
        self.process.send_to_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self.process.send_to_group(signal.SIGCONT)


async def _start(scope: Scope, port: int) -> Process:
    name = f"job-store-{port}"
    folder = scope.folder / name
    _create(folder)
    process = await scope.start(
        name,
        [
            sys.executable,
            "-m",
            "nx_27017.nx_27017",
            f"--data-dir={folder}",
            f"--host={LOOPBACK}",
            f"--port={port}",
            # Both would otherwise lie in the machine's temporary folder, shared by all servers on it.
            f"--log-file={scope.folder / name}.server.log",
            f"--pid-file={scope.folder / name}.pid",
        ],
    )
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
        LOOPBACK, port, serverSelectionTimeoutMS=_ANSWER_MILLISECONDS, directConnection=True
    )
    async with client:

        async def answers() -> bool:
            try:
                await client.admin.command("ping")
            except PyMongoError:
                return False
            return True

        await until(answers, f"{name} to answer", of=process)
    return process


def _create(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
