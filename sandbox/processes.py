"""Child processes that end with the process that started them, and a way to wait for what they do."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import tempfile
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Self, TypeVar

from sandbox.janitor import FOLDER_PREFIX, MARK_VARIABLE, clear, clear_abandoned, hold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

T = TypeVar("T")

ROOT: Final = Path(__file__).resolve().parent.parent
"""The root of the repository, where `python -m sandbox.…` finds its modules."""

LOOPBACK: Final = "127.0.0.1"

_POLL_SECONDS: Final = (0.02, 0.1)
"""The shortest and the longest pause between two looks."""
_SHOWN_LOG_BYTES: Final = 4000


class DeadlineError(Exception):
    """A condition did not become true in time, or cannot become true any more."""


class Process:
    """A program in its own session and process group, with its output in a file."""

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
            name: the program's name in messages.
            command: the program and its arguments; a bare name is looked up on this process's PATH.
            log: the file to which the output is appended.
            environment: the whole environment; nothing is inherited.
            folder: the working directory.

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
                # In its own session: Ctrl-C in the terminal reaches only the sandbox, which then ends its children.
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
        """Wait until the program has ended, and return its exit code."""
        return await self._child.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the program; do nothing if it has ended."""
        with suppress(ProcessLookupError):
            self._child.send_signal(number)

    def send_to_group(self, number: signal.Signals) -> None:
        """Send a signal to the program's process group; do nothing if all of it has ended."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def stop(self, *, seconds: float = 10) -> int:
        """End the program with SIGTERM, after a time with SIGKILL, and return its exit code."""
        self.send(signal.SIGTERM)
        # A paused program handles SIGTERM only when it continues.
        self.send_to_group(signal.SIGCONT)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait()
        return await self.kill()

    async def kill(self) -> int:
        """Kill the program and its process group, and return its exit code."""
        self.send_to_group(signal.SIGKILL)
        return await self.wait()

    def end_of_log(self) -> str:
        """The end of the output, for error messages."""
        return end_of(self.log)


class Scope:
    """A temporary folder and the processes started in it; all of them end with the scope.

    So do the processes' children, even if the owner of the scope is killed with SIGKILL: see `sandbox.janitor`.
    """

    def __init__(self, folder: Path, mark: str, janitor: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self._mark = mark
        self._janitor = janitor
        self._processes: list[Process] = []

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """Open a scope, and end everything in it afterwards; first clean up after killed scopes."""
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
                    # The janitor itself was killed, so its work is done here.
                    clear(str(folder), mark)
                for process in scope._processes:
                    await process.wait()

    def environment(self, **more: str) -> dict[str, str]:
        """The whole environment of a process in this scope; of the caller's it has PATH only."""
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
            name: of the process and its log; a second process of the same name appends to the same log.
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
    every: float | None = None,
    of: Process | None = None,
) -> T:
    """Wait until a condition returns a true value, and return the value.

    Args:
        condition: called repeatedly, no matter how long each call takes; its exceptions are passed on.
        what: what is awaited, as the end of a message that begins with "waited for".
        seconds: the timeout; None: no timeout. The default is long enough for a busy machine.
        every: seconds between two calls. The default grows with the time waited, so that long waits cost little.
        of: the process that has to make the condition true: its end ends the wait, and its log is shown.

    Raises:
        DeadlineError: the condition did not become true in time, or the process ended first.
    """
    task = asyncio.current_task()
    assert task is not None
    cancellations = task.cancelling()
    began = time.monotonic()
    try:
        async with asyncio.timeout(seconds) as limit:
            while True:
                if found := await condition():
                    return found
                if task.cancelling() > cancellations:
                    # Up to Python 3.11, `asyncio.wait_for`, with which drivers write, may drop a cancellation.
                    raise asyncio.CancelledError
                if of is not None and of.exit_code is not None:
                    raise DeadlineError(
                        f"waited for {what}, but {of.name} ended with {of.exit_code}\n{of.end_of_log()}"
                    )
                await asyncio.sleep(every or _pause(time.monotonic() - began))
    except TimeoutError:
        if not limit.expired():
            raise
        log = f"\n{of.name} wrote last:\n{of.end_of_log()}" if of is not None else ""
        raise DeadlineError(f"waited {seconds} s in vain for {what}{log}") from None


def _pause(waited: float) -> float:
    shortest, longest = _POLL_SECONDS
    return min(longest, max(shortest, waited / 20))


async def listening(port: int) -> bool:
    """Tell whether a process accepts connections on a loopback port."""
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return True


def free_port() -> int:
    """Return a loopback port that is not in use.

    The port is below the kernel's range for outgoing connections: inside that range, a client that keeps trying the
    port of a stopped server would eventually connect to itself and occupy the port.
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
    """The beginning of the command that runs one of this repository's modules."""
    return [sys.executable, "-m", module]


def end_of(log: Path) -> str:
    """Return the last few thousand bytes of a file, or nothing if there is no such file."""
    try:
        return log.read_bytes()[-_SHOWN_LOG_BYTES:].decode(errors="replace")
    except FileNotFoundError:
        return ""


def _temporary_folder() -> Path:
    # Without links in the path, so that it equals the path of the folder's files in /proc.
    return Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX)).resolve()


def _appending(path: Path) -> IO[bytes]:
    return path.open("ab")
