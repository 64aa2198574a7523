"""A server of the sandbox as a process, and the failures to which a test can expose it."""

from __future__ import annotations

import signal
from abc import abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.processes import Process


class Server:
    """A running server."""

    process: Process
    """The current process; a restart replaces it."""

    async def stop(self) -> None:
        """Shut the server down as an administrator would, and wait until it has ended."""
        await self.process.stop()

    async def kill(self) -> None:
        """Kill the server as a crash would, and wait until it has ended."""
        await self.process.kill()

    async def restart(self) -> None:
        """Start the server again on the same port with the same options and data; stop it first if it runs."""
        if self.process.exit_code is None:
            await self.stop()
        self.process = await self._started()

    def pause(self) -> None:
        """Stop the server from answering, with its connections open, until `resume`."""
        self.process.send_to_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let the server answer again."""
        self.process.send_to_group(signal.SIGCONT)

    @abstractmethod
    async def _started(self) -> Process:
        """Start the process, and return it once it answers."""
