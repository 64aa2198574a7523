"""A server that speaks MongoDB's wire protocol: PyPI's secantusdb, which keeps its data in WiredTiger as MongoDB does.

Always a process of its own, never imported: its licence, GPL-2.0-only, does not fit this project's
(docs/decisions/0016-secantusdb-is-the-sandboxes-mongodb.md, which also lists what differs from MongoDB).
"""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote, urlsplit

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from sandbox.processes import LOOPBACK, Process, Scope, free_port, until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sandbox.api import Json

_ANSWER_MILLISECONDS: Final = 500
_ADMINISTRATOR: Final = "administrator"

ENVIRONMENT: Final = {
    # A commit reaches the kernel before it is acknowledged, so a killed process loses nothing that a majority has
    # acknowledged, as with MongoDB. By default it stays in the process's memory for a while. It is not synced to the
    # disk, which only a power failure would tell: `--sync-on-commit` costs a sync for each document of a bulk write.
    "WIREDTIGER_CONFIG": "transaction_sync=(enabled=true,method=none)",
}


class JobStore:
    """A running server, and what can happen to one. Its data survives its process, as long as its scope lasts."""

    def __init__(
        self, scope: Scope, port: int, process: Process, password: str | None, options: Sequence[str] = ()
    ) -> None:
        self.port = port
        self.process = process
        """Its process now; another after a restart."""
        self._scope = scope
        self._options = options
        self._password = password
        """The administrator's, if the server asks for users and passwords."""

    @classmethod
    async def start(
        cls, scope: Scope, *, port: int | None = None, authentication: bool = False, options: Sequence[str] = ()
    ) -> Self:
        """Start a server with no data and wait until it answers.

        Args:
            scope: where it lives and with what it dies at the latest.
            port: a free one is found without it.
            authentication: whether clients have to be users (`add_user`) and may do what their roles say.
            options: further ones of the command line, such as those of TLS; without authentication only.

        Raises:
            DeadlineError: it ended or did not answer in time; its log is in the message.
        """
        port = port or free_port()
        process = await _start(scope, port, authentication=False, options=options)
        if not authentication:
            return cls(scope, port, process, None, options)
        # It has no localhost exception: the first user is made while it does not ask for one.
        password = secrets.token_urlsafe(12)
        await add_user(_url(port), _ADMINISTRATOR, password, database="admin", roles=["root"])
        await process.stop()
        return cls(scope, port, await _start(scope, port, authentication=True), password)

    @property
    def url(self) -> str:
        """The administrator's, when it asks for users."""
        url = _url(self.port)
        return url if self._password is None else as_user(url, _ADMINISTRATOR, self._password, database="admin")

    async def stop(self) -> None:
        """Shut it down as an administrator would, and wait for its end."""
        await self.process.stop()

    async def kill(self) -> None:
        """Kill it as a crash of its machine would, and wait for its end."""
        await self.process.kill()

    async def restart(self) -> None:
        """Start it again on the same port with the same data, ending it first if it still runs."""
        if self.process.exit_code is None:
            await self.stop()
        self.process = await _start(
            self._scope, self.port, authentication=self._password is not None, options=self._options
        )

    def pause(self) -> None:
        """Stop it from answering, with its connections open, until `resume`."""
        self.process.send_to_group(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self.process.send_to_group(signal.SIGCONT)


async def add_user(
    url: str,
    name: str,
    password: str,
    *,
    database: str,
    roles: Sequence[str] = (),
    privileges: Sequence[Json] = (),
) -> str:
    """Create a user in a database of any MongoDB server, with roles and with privileges of its own.

    Args:
        url: an administrator's.
        name: the user's, and that of the role that holds its privileges.
        password: the user's.
        database: where user and role are kept, and what roles such as `readWrite` are about.
        roles: names of the database's or of built-in roles.
        privileges: each with its `resource` and `actions`, as `db.createRole` takes them.

    Returns:
        The URL with which the user connects.

    Raises:
        PyMongoError: the server refuses; the administrator may lack the right.
    """
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        if privileges:
            await client[database].command("createRole", name, privileges=list(privileges), roles=[])
        granted = [*roles, *([name] if privileges else [])]
        await client[database].command("createUser", name, pwd=password, roles=granted)
    return as_user(url, name, password, database=database)


def as_user(url: str, name: str, password: str, *, database: str) -> str:
    """Return the URL with which a user that is kept in `database` connects to the same server."""
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
            # Otherwise one in the working directory, the home or /etc is taken.
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
    if options:  # it may speak TLS, and ask for a certificate
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
