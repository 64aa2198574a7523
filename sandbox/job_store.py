"""A server that speaks MongoDB's wire protocol: PyPI's secantusdb, which stores data in WiredTiger as MongoDB does.

It always runs as a separate process and is never imported: its licence, GPL-2.0-only, does not fit this project's
(docs/decisions/0016-secantusdb-is-the-sandboxes-mongodb.md, which also lists what differs from MongoDB).
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlsplit

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError
from typing_extensions import override

from sandbox.processes import LOOPBACK, Process, Scope, free_port, until
from sandbox.server import Server

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.api import Json

_ANSWER_MILLISECONDS: Final = 500
_ADMINISTRATOR: Final = "administrator"

ENVIRONMENT: Final = {
    # A commit reaches the kernel before it is acknowledged, so a killed process loses nothing that a majority has
    # acknowledged, as with MongoDB. By default it stays in the process's memory for a while. It is not synced to disk,
    # which matters only in a power failure: `--sync-on-commit` costs a sync for each document of a bulk write.
    "WIREDTIGER_CONFIG": "transaction_sync=(enabled=true,method=none)",
}


class JobStore(Server):
    """A running server, and the failures to which a test can expose it. Its data lasts as long as its scope."""

    def __init__(
        self, scope: Scope, port: int, process: Process, password: str | None, options: Sequence[str] = ()
    ) -> None:
        self.port = port
        self.process = process
        self._scope = scope
        self._options = options
        self._password = password
        """The administrator's password, if authentication is on."""

    @classmethod
    async def start(
        cls, scope: Scope, *, port: int | None = None, authentication: bool = False, options: Sequence[str] = ()
    ) -> Self:
        """Start a server with no data and wait until it answers.

        Args:
            scope: owns the process, which ends with it.
            port: by default a free one.
            authentication: whether clients have to log in (`add_user`) and need privileges.
            options: further command line options, such as those of TLS; only without authentication.

        Raises:
            DeadlineError: the server ended or did not answer in time; its log is in the message.
        """
        port = port or free_port()
        process = await _start(scope, port, authentication=False, options=options)
        if not authentication:
            return cls(scope, port, process, None, options)
        # The server has no localhost exception: the first user is created while authentication is off.
        password = secrets.token_urlsafe(12)
        await add_user(_url(port), _ADMINISTRATOR, password, database="admin", roles=["root"])
        await process.stop()
        return cls(scope, port, await _start(scope, port, authentication=True), password)

    @property
    def url(self) -> str:
        """The URL; with authentication, the administrator's."""
        url = _url(self.port)
        return url if self._password is None else as_user(url, _ADMINISTRATOR, self._password, database="admin")

    @override
    async def _started(self) -> Process:
        return await _start(self._scope, self.port, authentication=self._password is not None, options=self._options)


async def add_user(
    url: str,
    name: str,
    password: str,
    *,
    database: str,
    roles: Sequence[str] = (),
    privileges: Sequence[Json] = (),
) -> str:
    """Create a user in a database of any MongoDB server, with roles and privileges.

    Args:
        url: an administrator's.
        name: the user's, and that of the role that holds its privileges.
        password: the user's.
        database: that of the user and its role, to which roles such as `readWrite` apply.
        roles: names of roles of the database, or of built-in ones.
        privileges: each with `resource` and `actions`, as for `db.createRole`.

    Returns:
        The user's URL.

    Raises:
        PyMongoError: the server refuses, for example because the administrator lacks a privilege.
    """
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        if privileges:
            await client[database].command("createRole", name, privileges=list(privileges), roles=[])
        granted = [*roles, *([name] if privileges else [])]
        await client[database].command("createUser", name, pwd=password, roles=granted)
    return as_user(url, name, password, database=database)


def as_user(url: str, name: str, password: str, *, database: str) -> str:
    """Return the URL of a user of `database` on the same server."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2]
    options = [one for one in parts.query.split("&") if one and not one.lower().startswith("authsource=")]
    query = "&".join([*options, f"authSource={quote(database, safe='')}"])
    return f"{parts.scheme}://{quote(name, safe='')}:{quote(password, safe='')}@{hosts}/?{query}"


def _url(port: int) -> str:
    return f"mongodb://{LOOPBACK}:{port}/"


async def _start(scope: Scope, port: int, *, authentication: bool, options: Sequence[str] = ()) -> Process:
    name = f"job-store-{port}"
    process = await scope.start(
        name,
        [
            sys.executable,
            "-m",
            "secantus",
            # By default it reads one in the working directory, the home or /etc.
            f"--config={_empty(scope.folder / f'{name}.toml')}",
            f"--storage-path={scope.folder / name}",
            f"--host={LOOPBACK}",
            f"--port={port}",
            "--cache-size=64M",
            "--enable-test-commands",
            *(["--auth"] if authentication else []),
            *options,
        ],
        environment=ENVIRONMENT,
    )
    if options:  # it may speak TLS and require a certificate
        await until(lambda: _accepts(port), f"{name} to accept connections", of=process)
        return process
    client: AsyncMongoClient[Mapping[str, Any]] = AsyncMongoClient(
        LOOPBACK, port, serverSelectionTimeoutMS=_ANSWER_MILLISECONDS, directConnection=True
    )
    async with client:

        async def answers() -> bool:
            try:
                await client.admin.command("hello")
            except PyMongoError:
                return False
            return True

        await until(answers, f"{name} to answer", of=process)
    return process


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


def _empty(path: Path) -> Path:
    path.touch()
    return path
