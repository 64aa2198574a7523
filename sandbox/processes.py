"""Child processes that cannot outlive the process that started them, and the one way to wait for what they do."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self, TypeVar

from sandbox.janitor import FOLDER_PREFIX, MARK_VARIABLE, clear, clear_abandoned, hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout, from which `python -m sandbox.…` finds its modules."""

LOOPBACK: Final = "127.0.0.1"

_POLL_SECONDS: Final = 0.02
_SHOWN_LOG_BYTES: Final = 4000


class DeadlineError(Exception):
    """What was awaited did not happen in time, or cannot happen any more."""


class Process:
    """A program in a session and process group of its own, its output in a file."""

    def __init__(self, name: str, log: Path, child: asyncio.subprocess.Process) -> None:
        self.name = name
        self.log = log
        self._child = child

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str | Path], *, log: Path, environment: Mapping[str, str], folder: Path
    ) -> Self:
        """Start a program.

        Args:
            name: what messages about it call it.
            command: the program and its arguments; a bare name is looked up on this process's PATH.
            log: the file that its output is appended to.
            environment: all of its environment; nothing is inherited.
            folder: its working directory.

        Raises:
            OSError: the program or the folder does not exist, or may not be used.
        """
        with _appending(log) as output:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                cwd=folder,
                env=environment,
                # A session of its own: Ctrl-C in the terminal is for the sandbox, which then ends its children.
                start_new_session=True,
            )
        return cls(name, log, child)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """The exit code, the negative number of the signal that ended it, or None while it runs."""
        return self._child.returncode

    async def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return await self._child.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program itself; does nothing once it has ended."""
        with suppress(ProcessLookupError):
            self._child.send_signal(number)

    def send_to_group(self, number: signal.Signals) -> None:
        """Send a signal to the program and to what it started; does nothing once all have ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def stop(self, *, seconds: float = 10) -> int:
        """End it with SIGTERM, after so many seconds with SIGKILL, and return its exit code."""
        self.send(signal.SIGTERM)
        # A paused one gets to its SIGTERM only when it goes on.
        self.send_to_group(signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
        return await self.kill()

    async def kill(self) -> int:
        """End it and its process group with SIGKILL and return its exit code."""
        self.send_to_group(signal.SIGKILL)
        return await self.wait()

    def end_of_log(self) -> str:
        """The last of its output, for error messages."""
        return end_of(self.log)


class Scope:
    """A temporary folder and the processes started in it; all of it is gone when the scope ends.

    That holds for the processes' own children too, and when the owner of the scope is killed with SIGKILL: see
    `sandbox.janitor`.
    """

    def __init__(self, folder: Path, mark: str, janitor: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self._mark = mark
        self._janitor = janitor
        self._processes: list[Process] = []

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Open a scope and end everything in it afterwards; clears up first what a killed one has left behind."""
        clear_abandoned(Path(tempfile.gettempdir()))
        folder = _temporary_folder()
        mark = folder.name
        with hold(folder) as held:
            janitor = await asyncio.create_subprocess_exec(
                *python_module("sandbox.janitor"),
                folder,
                mark,
                stdin=asyncio.subprocess.PIPE,
                cwd=ROOT,
                start_new_session=True,
                pass_fds=[held],
            )
            scope = cls(folder, mark, janitor)
            try:
                yield scope
            finally:
                assert janitor.stdin is not None
                janitor.stdin.close()
                if await janitor.wait():
                    # It was killed itself; what is left to do is then done from here.
                    clear(str(folder), mark)
                for process in scope._processes:
                    await process.wait()

    def environment(self, **more: str) -> dict[str, str]:
        """The whole environment of a process in this scope: nothing of the caller's but where programs are."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            MARK_VARIABLE: self._mark,
        } | more

    async def start(
        self, name: str, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program in this scope, with `<name>.log` in the scope's folder as its output.

        Args:
            name: names the process and its log; the same name again appends to the same log.
            command: the program and its arguments.
            environment: variables besides those of `environment()`.

        Raises:
            OSError: the program does not exist or may not be run.
        """
        process = await Process.start(
            name,
            command,
            log=self.folder / f"{name}.log",
            environment=self.environment(**environment or {}),
            folder=ROOT,
        )
        self._processes.append(process)
        return process


async def until(
    condition: Callable[[], Awaitable[T | None]],
    what: str,
    *,
    seconds: float | None = 90,
    every: float = _POLL_SECONDS,
    of: Process | None = None,
) -> T:
    """Wait until a condition returns something true, and return that.

    Args:
        condition: asked again and again, however long each answer takes; what it raises is passed on.
        what: what is awaited, as an error message says it after "waited for".
        seconds: how long at most; None: as long as it takes. The default is for a machine that is busy with other work.
        every: seconds from an answer to the next question.
        of: the process that has to bring it about: its end ends the wait, and its log is shown.

    Raises:
        DeadlineError: it did not happen in time, or the process ended first.
    """
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                if found := await condition():
                    return found
                if of is not None and of.exit_code is not None:
                    raise DeadlineError(
                        f"waited for {what}, but {of.name} ended with {of.exit_code}\n{of.end_of_log()}"
                    )
                await asyncio.sleep(every)
    except TimeoutError:
        if not limit.expired():
            raise
        log = f"\n{of.name} wrote last:\n{of.end_of_log()}" if of is not None else ""
        raise DeadlineError(f"waited {seconds} s in vain for {what}{log}") from None


async def listening(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def free_port() -> int:
    """Return a loopback port that nothing uses.

    It is below the range that the kernel gives to outgoing connections: from inside it, a client that keeps
    knocking at a stopped server's port would one day be connected to itself and hold the port.
    """
    while True:
        port = 15000 + secrets.randbelow(17000)
        with socket.socket() as attempt:
            try:
                attempt.bind((LOOPBACK, port))
            except OSError:
                continue
        return port


def python_module(module: str) -> list[str]:
    """The beginning of the command that runs one of this checkout's modules."""
    return [sys.executable, "-m", module]


def end_of(log: Path) -> str:
    """The last few thousand bytes of a file, or nothing when there is no such file."""
    try:
        return log.read_bytes()[-_SHOWN_LOG_BYTES:].decode(errors="replace")
    except FileNotFoundError:
        return ""


def _temporary_folder() -> Path:
    # Without links in its path, so that it is the one that /proc shows for files in it.
    return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX)).resolve()


def _appending(path: Path) -> IO[bytes]:
    return path.open("ab")
