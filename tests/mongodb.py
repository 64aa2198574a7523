"""The MongoDB that tests work on: the embedded server, or the user's own (`make test MONGODB_URL=...`).

Both have authentication on, and grant the operator the role of `docs/security.md`. A test that kills its server, or
makes it refuse commands (`failCommand`), starts its own embedded one, no matter what the URL says.
"""

import os
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import yaml
from pymongo import AsyncMongoClient
from pymongo.uri_parser import parse_uri

from sandbox.api import Json
from sandbox.job_store import JobStore, add_user
from sandbox.processes import LOOPBACK, ROOT

NAMED: Final = os.environ.get("QUEUE_RECOVERY_TEST_MONGODB_URL")
"""URL of the user's own server; its user has to be allowed to create databases, users and roles."""

FAULTS: Final[Mapping[str, Json]] = {
    "the connection is cut": {"closeConnection": True},
    "the primary has stepped down": {"errorCode": 10107},
    "a write conflict": {"errorCode": 112},
    "no majority acknowledges it": {"writeConcernError": {"code": 64, "errmsg": "s3cret-payload"}},
}
"""A server's answers to an update, by `failCommand`; with the last one it has made the update."""

_PAGE: Final = ROOT / "docs" / "security.md"


@dataclass(frozen=True, kw_only=True)
class Database:
    """A database for the tests, on a server with authentication."""

    url: str
    """The administrator's, which the tests use as the application."""
    name: str

    async def operator_url(self, collection: str = "", *, actions: tuple[str, ...] = ()) -> str:
        """Create a user for the operator and return its URL.

        Args:
            collection: on which it has privileges; by default, all collections of the database.
            actions: its privileges, instead of those of the documentation's role.
        """
        privilege = _documented_privilege()
        resource = {"db": self.name, "collection": collection}
        return await add_user(
            self.url,
            f"queue-recovery-{secrets.token_hex(4)}",
            secrets.token_urlsafe(12),
            database=self.name,
            privileges=[{"resource": resource, "actions": list(actions) or privilege["actions"]}],
        )

    async def address(self) -> tuple[str, int]:
        """Return the host and port of the server; of a replica set, those of the primary."""
        async with AsyncMongoClient[dict[str, Any]](self.url) as client:
            await client.admin.command("ping")
            address = await client.address
        assert address is not None
        return address


async def fail_updates(url: str, fault: str, *, skip: int = 0) -> None:
    """Make an embedded server fail the operator's updates, except the first `skip`, until `accept_updates`."""
    await _fail_point(url, {"skip": skip}, {"failCommands": ["update"], "appName": "queue-recovery", **FAULTS[fault]})


async def accept_updates(url: str) -> None:
    """End the effect of `fail_updates`."""
    await _fail_point(url, "off", {})


async def _fail_point(url: str, mode: object, data: Json) -> None:
    async with AsyncMongoClient[dict[str, Any]](url) as client:
        await client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)


@asynccontextmanager
async def open_database(start: Callable[[], Awaitable[JobStore]]) -> AsyncIterator[Database]:
    """Create a database, and drop it with its users and roles afterwards.

    Args:
        start: starts the embedded server; not called when the user has named one.
    """
    url = NAMED or (await start()).url
    name = f"queue_recovery_test_{secrets.token_hex(6)}"
    try:
        yield Database(url=url, name=name)
    finally:
        async with AsyncMongoClient[dict[str, Any]](url) as client:
            for command in ("dropAllUsersFromDatabase", "dropAllRolesFromDatabase", "dropDatabase"):
                await client[name].command(command)


def through(url: str, port: int) -> str:
    """Return the user's URL of the same server through a port of this machine."""
    parsed = parse_uri(url)
    user = url.partition("://")[2].rpartition("@")[0]
    # The certificate names the server's host, not this machine.
    tls = "&tls=true&tlsAllowInvalidHostnames=true" if parsed["options"].get("tls") else ""
    source = parsed["options"]["authSource"]
    return f"mongodb://{user}@{LOOPBACK}:{port}/?authSource={source}&directConnection=true{tls}"


def _documented_privilege() -> Json:
    """Return the privileges of the role in the documentation, whose JavaScript is valid YAML."""
    (role,) = re.findall(r"^db\.createRole\((\{.*?\n\})\)$", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (privilege,) = yaml.safe_load(role)["privileges"]
    found: Json = privilege
    return found
