"""A Celery application whose tasks fail for every reason of the seed's table, most by libraries' own exceptions."""

import os
import socket
import subprocess
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Final

import requests
from bson import ObjectId
from celery import Celery, Task
from pymongo import MongoClient
from redis import Redis
from urllib3 import Retry

url = os.environ.get("BROKER_URL", "")
app = Celery("app", broker=url, backend=url)
app.conf.task_default_queue = "tts"
app.conf.broker_connection_retry_on_startup = True
app.conf.result_extended = True


def closed_port() -> int:
    """Return a port of this machine at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port: int = bound.getsockname()[1]
        return port


def mute_server() -> str:
    """Return the URL of a server that accepts connections and never answers."""
    _listening.append(socket.create_server(("127.0.0.1", 0)))
    return f"http://127.0.0.1:{_listening[-1].getsockname()[1]}/"


_listening: list[socket.socket] = []


class _Busy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Refuse for now."""
        self.send_error(429)


def busy_server() -> str:
    """Return the URL of a server that answers 429 to everything."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Busy)
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"


def rate_limited() -> None:
    """Meet a rate limit, by requests."""
    requests.get(busy_server(), timeout=5).raise_for_status()


def rate_limited_with_back_off() -> None:
    """Meet a rate limit once more after each back-off of urllib3."""
    with requests.Session() as session:
        retries = Retry(total=2, backoff_factor=0.01, status_forcelist=[429])
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retries))
        session.get(busy_server(), timeout=5)


def database_away() -> object:
    """Meet a database that is away, by PyMongo."""
    return MongoClient("127.0.0.1", closed_port(), serverSelectionTimeoutMS=100).app.jobs.find_one()


ROWS: Final[dict[str, tuple[str, list[Callable[[], object]]]]] = {
    "time-out": (
        "Transient",
        [
            lambda: requests.get(mute_server(), timeout=0.1),
            lambda: urllib.request.urlopen(mute_server(), timeout=0.1),  # noqa: S310  # of this machine
        ],
    ),
    "rate-limit": (
        "Transient",
        [rate_limited, rate_limited_with_back_off],
    ),
    "database": (
        "Transient",
        [lambda: Redis(port=closed_port()).ping(), database_away],
    ),
    "type": ("Deterministic", [lambda: 1 + "a", lambda: len(5)]),  # type: ignore[operator, arg-type]
    "attribute": ("Deterministic", [lambda: "".missing, lambda: object().missing]),  # type: ignore[attr-defined]
    "shape": ("Deterministic", [b"\xff".decode, lambda: ObjectId("no id")]),
    "setting": (
        "Deterministic",
        [lambda: os.environ["tts-voice"], lambda: requests.get(os.environ.get("VOICES_URL", ""), timeout=1)],  # noqa: SIM112  # a lower-case one
    ),
    "file": (
        "Deterministic",
        [lambda: open("/nowhere/voices.bin"), lambda: subprocess.run(["no-such-program"], check=True)],  # noqa: SIM115, PTH123
    ),
    # Celery stores only a base of an exception that cannot be pickled, and no message.
    "hidden": ("Unknown", [lambda: urllib.request.urlopen(busy_server(), timeout=5)]),  # noqa: S310  # the same
}
"""Each row of the table with its verdict, and the ways to fail."""


@app.task(name="tts.fail", bind=True, max_retries=2)  # type: ignore[untyped-decorator] # Celery has no types
def fail(self: Task, row: str, way: int) -> None:
    """Fail, and be retried twice, at once."""
    try:
        ROWS[row][1][way]()
    except Exception as error:
        raise self.retry(exc=error, countdown=0) from error


@app.task(name="tts.retried", bind=True, max_retries=None)  # type: ignore[untyped-decorator]
def retried(self: Task) -> None:
    """Fail, and wait for a retry that is far away."""
    raise self.retry(exc=ConnectionRefusedError(111, "Connection refused by alice"), countdown=3600)


@app.task(name="tts.fine")  # type: ignore[untyped-decorator]
def fine() -> str:
    """Return what nobody may see."""
    return "the card of alice"
