"""A worker that treats Redis as Celery's does and starts in no time: it runs what is good and holds what is poisoned.

A message goes from its list to `unacked`, is run (its id is recorded under `ran:<job>`, as `tests.e2e.worker_app`
does), and leaves `unacked`. A poisoned one, whose second argument is no text, stays in `unacked`, as one that waits
for its next attempt does. At SIGTERM all that are held go back to the tail of their lists.
"""

import base64
import json
import os
import signal
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import hiredis

LISTS = ("work", "work\x06\x163")
TIMEOUT = "0.2"
"""Seconds that one BRPOP waits: SIGTERM is looked at between two of them, so that no message is lost."""


class Connection:
    """One connection to Redis."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._socket = socket.create_connection((address.hostname or "", address.port or 0))
        self._reader = hiredis.Reader()
        self.ask("SELECT", address.path.strip("/"))

    def ask(self, *words: str | bytes) -> Any:  # noqa: ANN401  # any answer of Redis
        """Send one command and return the answer."""
        self._socket.sendall(hiredis.pack_command(words))  # type: ignore[arg-type]  # its types say: of one word
        while (answer := self._reader.gets()) is False:
            self._reader.feed(self._socket.recv(65536))
        return answer


def work(redis: Connection) -> None:
    """Work until SIGTERM."""
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    held: dict[str, tuple[bytes, bytes]] = {}
    while not ended:
        popped = redis.ask("BRPOP", *LISTS, TIMEOUT)
        if popped is None:
            continue
        key, text = popped
        message = json.loads(text)
        tag, task = message["properties"]["delivery_tag"], message["headers"]["id"]
        redis.ask("HSET", "unacked", tag, json.dumps([message, "", "work"]))
        redis.ask("ZADD", "unacked_index", f"{time.time()}", tag)
        job, *rest = json.loads(base64.b64decode(message["body"]))[0]
        if rest and not isinstance(rest[0], str):
            held[tag] = (key, text)
            continue
        redis.ask("RPUSH", f"ran:{job}", task)
        _forget(redis, tag)
    for tag, (key, text) in held.items():
        redis.ask("MULTI")
        redis.ask("RPUSH", key, text)
        _forget(redis, tag)
        redis.ask("EXEC")


def _forget(redis: Connection, tag: str) -> None:
    redis.ask("HDEL", "unacked", tag)
    redis.ask("ZREM", "unacked_index", tag)


if __name__ == "__main__":
    work(Connection(os.environ["BROKER_URL"]))
