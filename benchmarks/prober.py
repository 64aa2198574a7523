"""A client that always waits for an answer.

It prints a line when it begins, and its longest wait in ms at the end.
"""

import os
import select
import socket
import sys
import time

_PAUSE = 0.0002
"""Seconds between two commands, so that the client itself does not occupy a processor."""


def main() -> None:
    """Send PING to the port of the first argument until there is something on standard input."""
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        os.write(1, b"\n")
        longest = 0.0
        while not select.select([0], [], [], _PAUSE)[0]:
            began = time.perf_counter()
            server.sendall(b"PING\r\n")
            while server.recv(4096).startswith(b"-BUSY"):  # after five seconds of a script; not an answer either
                server.sendall(b"PING\r\n")
            longest = max(longest, time.perf_counter() - began)
    os.write(1, f"{longest * 1000:.3f}\n".encode())


if __name__ == "__main__":
    main()
