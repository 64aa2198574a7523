"""Messages about a job store that cannot be reached: the kind of failure, and the server if it may be shown."""

import asyncio
import errno
import socket
from typing import NoReturn

import dns.resolver
import pytest

from queue_recovery.jobs import url
from queue_recovery.jobs.connecting import Timeouts
from queue_recovery.recovery.errors import RecoveryError
from sandbox.processes import free_port
from tests.jobs.scripted_server import scripted
from tests.jobs.stores import connected
from tests.unreachable import listening, resolve_no_name, silent_dns

QUICK = Timeouts(find_server=400)


async def message_about(address: str) -> str:
    """Check the job store at a URL; return the message, which must not contain the password."""
    async with connected(address, timeouts=QUICK) as store:
        with pytest.raises(RecoveryError) as refused:
            await store.check()
    assert refused.value.reason == "JobStoreUnavailable"
    assert refused.value.__suppress_context__
    assert "hunter2" not in str(refused.value)
    return refused.value.message


async def test_a_port_on_which_nothing_listens_is_named_with_its_host() -> None:
    port = free_port()

    message = await message_about(f"mongodb://bob:hunter2@127.0.0.1:{port}/app")

    assert message.startswith(f"the job store at 127.0.0.1:{port} refuses the connection")


async def test_of_a_url_that_is_not_strict_neither_host_nor_port_is_shown() -> None:
    port = free_port()

    message = await message_about(f"mongodb://bob:hunter2@127.0.0.1:{port}/app?readPreferenceTags=hunter2:x")

    assert message.startswith("the job store refuses the connection")
    assert str(port) not in message


async def test_a_member_that_a_server_names_is_not_shown() -> None:
    port = free_port()

    def reply(_name: str, _command: dict[str, object]) -> dict[str, object]:
        return {"ok": 1}

    async with scripted(reply, members=[f"127.0.0.1:{port}"]) as server:
        message = await message_about(f"{server.url}?replicaSet=rs0")

    assert str(port) not in message


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such host"), "host does not exist"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "DNS does not answer"),
        (OSError(errno.EMFILE, "too many open files"), "no connection to the job store can be made"),
    ],
)
async def test_a_host_that_has_not_been_resolved_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    resolve_no_name(monkeypatch, error)

    message = await message_about("mongodb://bob:hunter2@nowhere.example/")

    assert says in message
    assert "nowhere" not in message


async def test_a_dns_server_that_does_not_answer_is_distinguished_from_a_job_store_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with silent_dns(monkeypatch):
        message = await message_about("mongodb://bob:hunter2@nowhere.example/")

    assert message.startswith("DNS does not answer when asked for the job store's host")


@pytest.mark.parametrize(
    ("error", "says"),
    [(dns.resolver.NXDOMAIN, "host does not exist"), (dns.resolver.LifetimeTimeout, "DNS does not answer")],
)
async def test_a_failed_look_up_of_srv_records_is_reported(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], says: str
) -> None:
    async def resolve(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr("dns.asyncresolver.resolve", resolve)

    assert says in await message_about("mongodb+srv://bob:hunter2@nowhere.example/")


async def test_a_server_that_does_not_answer_is_distinguished_from_one_that_closes_connections() -> None:
    async def silent(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        pass

    async def closing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(silent) as port:
        assert f"127.0.0.1:{port} timed out" in await message_about(f"mongodb://127.0.0.1:{port}/?tls=true")
    async with listening(closing) as port:
        assert "closes the connection" in await message_about(f"mongodb://127.0.0.1:{port}/")


def test_servers_are_shown_as_the_driver_writes_them() -> None:
    assert url.shown_servers("mongodb://bob:pass@DB.example,[2001:db8::1]:27018/app") == {
        ("db.example", 27017),
        ("2001:db8::1", 27018),
    }
    assert not url.shown_servers("mongodb+srv://bob:pass@db.example/")
    assert not url.shown_servers("mongodb://bob:hun@ter2@db.example/")
