"""The operator, which pauses (SIGSTOP) as it is about to send the first status of a recovery."""

import os
import signal
import sys

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from queue_recovery.controller.main import main


def pause_at_the_first_status() -> None:
    """Stop the process right before the request's bytes go into the socket.

    The watchdog comes too late by as much as that: no program can look at the time and send in one step.
    """
    write = aiohttp.ClientRequest.write_bytes

    async def paused(
        self: aiohttp.ClientRequest,
        writer: AbstractStreamWriter,
        conn: "aiohttp.connector.Connection",
        content_length: int | None = None,
    ) -> None:
        if "/queuerecoveries/" in self.url.path and self.url.path.endswith("/status"):
            aiohttp.ClientRequest.write_bytes = write  # type: ignore[method-assign]
            sys.stderr.write("about to send a status\n")
            sys.stderr.flush()
            expired = signal.signal(signal.SIGALRM, signal.SIG_IGN)
            os.kill(os.getpid(), signal.SIGSTOP)
            await write(self, writer, conn, content_length)
            signal.signal(signal.SIGALRM, expired)
            signal.raise_signal(signal.SIGALRM)
            return
        await write(self, writer, conn, content_length)

    aiohttp.ClientRequest.write_bytes = paused  # type: ignore[method-assign]


if __name__ == "__main__":
    pause_at_the_first_status()
    main()
