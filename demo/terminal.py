"""The demo's terminal: it shows each command, runs it, and shows the output."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import signal
import sys
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from redis.asyncio import Redis

from sandbox.janitor import MARK_VARIABLE
from sandbox.processes import ROOT, DeadlineError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from demo.narrate import Narrator
    from sandbox.broker import Broker
    from sandbox.cluster import Sandbox

_SECONDS: Final = 120


class CommandError(Exception):
    """A command of the story failed; its output has been shown."""


class Terminal:
    """Runs `kubectl` as the sandbox's administrator in one namespace, and `redis-cli` against its broker."""

    def __init__(self, narrator: Narrator, sandbox: Sandbox, broker: Broker, namespace: str) -> None:
        self._narrator = narrator
        self._broker = broker
        kubeconfig = sandbox.folder / "demo.kubeconfig"
        sandbox.control_plane.admin.write_kubeconfig(kubeconfig, namespace=namespace)
        folders = [sandbox.kubectl_program.parent, Path(sys.executable).parent, os.environ.get("PATH", os.defpath)]
        self._environment = {
            "PATH": os.pathsep.join(map(str, folders)),
            "HOME": str(sandbox.folder),
            "LANG": "C.UTF-8",
            "KUBECONFIG": str(kubeconfig),
            MARK_VARIABLE: sandbox.folder.name,
        }

    async def run(self, command: str, *, stdin: str = "") -> str:
        """Run a command, and show it and its output as it comes.

        Args:
            command: words quoted as for a shell; nothing is expanded.
            stdin: the standard input.

        Returns:
            The whole output.

        Raises:
            CommandError: the command failed.
            DeadlineError: the command took longer than two minutes.
        """
        self._narrator.command(command)
        return await self._complete(command, stdin, self._narrator.output)

    async def ask(self, command: str) -> str:
        """Run a command without showing it, and return its output; raises as `run` does."""
        return await self._complete(command)

    async def watch(self, command: str, last: Callable[[str], bool]) -> str:
        """Run a command that does not end, show its output, and interrupt it after the last line.

        Returns:
            That line.

        Raises:
            CommandError: the command ended by itself.
            DeadlineError: there was no such line within two minutes.
        """
        self._narrator.command(command)
        async with self._deadline(command), self._child(command) as child:
            async for line in _lines(child):
                self._narrator.output(line)
                if last(line):
                    return line
        raise CommandError(f"`{command}` ended before the expected line")

    async def redis(self, command: str) -> str:
        """Send a command to the broker, with `redis-cli` if possible, and show the answer, a number."""
        if shutil.which("redis-cli"):
            self._narrator.command(f"redis-cli -p {self._broker.port} {command}")
            # As it would show it on a terminal: into a pipe it writes bare values by default.
            answer = await self._complete(f"redis-cli -p {self._broker.port} --no-raw {command}")
        else:
            self._narrator.command(f"(there is no redis-cli on PATH: the demo itself sends) {command}")
            async with Redis.from_url(self._broker.url) as client:
                number = await client.execute_command(*shlex.split(command))  # type: ignore[no-untyped-call]
                answer = f"(integer) {number}"
        self._narrator.output(answer)
        return answer

    async def _complete(self, command: str, stdin: str = "", show: Callable[[str], None] | None = None) -> str:
        lines: list[str] = []
        async with self._deadline(command), self._child(command, stdin) as child:
            async for line in _lines(child):
                lines.append(line)
                if show is not None:
                    show(line)
            code = await child.wait()
        output = "\n".join(lines)
        if code:
            shown = "" if show is not None else f"\n{output}"
            raise CommandError(f"`{command}` ended with exit code {code}{shown}")
        return output

    @asynccontextmanager
    async def _deadline(self, command: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_SECONDS) as limit:
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise DeadlineError(f"waited {_SECONDS} s in vain for `{command}`") from None

    @asynccontextmanager
    async def _child(self, command: str, stdin: str = "") -> AsyncIterator[asyncio.subprocess.Process]:
        """Start a program, and end it afterwards if it still runs, even after an error."""
        child = await asyncio.create_subprocess_exec(
            *shlex.split(command),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=self._environment,
            cwd=ROOT,
            # Ctrl-C reaches only the demo, which then ends its children.
            start_new_session=True,
        )
        try:
            assert child.stdin is not None
            child.stdin.write(stdin.encode())
            child.stdin.close()
            yield child
        finally:
            if child.returncode is None:
                # Not child.kill(), which reaps a child that has just ended and so loses its exit code.
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                await child.wait()


async def _lines(child: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert child.stdout is not None
    async for line in child.stdout:
        yield line.decode(errors="replace").rstrip("\n")
