"""What is said of a broker to which no connection comes up: the kind of failure, and where, if that may be shown."""

import asyncio
import errno
import socket

import pytest

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection import connecting
from queue_recovery.recovery.errors import RecoveryError
from sandbox.processes import free_port
from tests.unreachable import listening, resolve_no_name, silent_dns


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_RETRIES", 0)
    monkeypatch.setattr(connecting, "_ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(connecting, "_CONNECT_SECONDS", 0.2)


async def said(url: str) -> str:
    """Return what checking the broker at that URL says; it holds nothing of the login."""
    broker = RedisBroker.connect(url, TransportOptions(master_name="media"))
    try:
        with pytest.raises(RecoveryError) as refused:
            await broker.check()
    finally:
        await broker.aclose()
    assert refused.value.reason == "BrokerUnavailable"
    assert refused.value.__suppress_context__
    assert "hunter2" not in str(refused.value)
    return refused.value.message


async def test_a_port_on_which_nothing_listens_is_named_with_its_host() -> None:
    port = free_port()

    assert f"the broker at 127.0.0.1:{port} refuses the connection" in await said(f"redis://:hunter2@127.0.0.1:{port}")
    assert f"the broker at localhost:{port} refuses the connection" in await said(f"redis://:hunter2@localhost:{port}")
    sentinels = f"sentinel://:hunter2@127.0.0.1:{port};sentinel://127.0.0.1:{port}"
    assert f"the broker at 127.0.0.1:{port} refuses the connection" in await said(sentinels)


async def test_of_a_url_that_is_not_strict_neither_host_nor_port_is_shown() -> None:
    port = free_port()

    message = await said(f"redis://:hunter2@hunter2@127.0.0.1:{port}")

    assert message.startswith("the broker refuses the connection: nothing listens on that port. ")
    assert str(port) not in message


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (socket.gaierror(socket.EAI_NONAME, "no such host"), "host does not exist"),
        (socket.gaierror(socket.EAI_AGAIN, "try again"), "DNS does not answer"),
        (OSError(errno.EMFILE, "too many open files"), "no connection to the broker can be made"),
    ],
)
async def test_a_host_that_has_not_been_resolved_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    resolve_no_name(monkeypatch, error)

    message = await said("redis://:hunter2@nowhere.example:6379/0")

    assert says in message
    assert "nowhere" not in message


async def test_a_name_server_that_does_not_answer_is_told_from_a_broker_that_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with silent_dns(monkeypatch):
        message = await said("redis://:hunter2@nowhere.example:6379/0")

    assert message.startswith("DNS does not answer when asked for the broker's host")


async def test_a_server_that_takes_connections_and_says_nothing_is_told_from_one_that_is_away() -> None:
    async def deaf(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        pass

    async with listening(deaf) as port:
        assert "accepts the connection and does not answer" in await said(f"redis://127.0.0.1:{port}")
        assert f"the broker at 127.0.0.1:{port} timed out" in await said(f"rediss://127.0.0.1:{port}")


async def test_a_server_that_speaks_no_tls_or_another_protocol_is_named_so() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with listening(web) as port:
        assert f"the broker at 127.0.0.1:{port} does not speak TLS" in await said(f"rediss://127.0.0.1:{port}")
        assert "does not answer as a Redis server does" in await said(f"redis://127.0.0.1:{port}")


async def test_a_server_that_closes_the_connection_at_once_is_named_so() -> None:
    async def shut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with listening(shut) as port:
        assert "closes the connection" in await said(f"redis://127.0.0.1:{port}")
        assert "closes the connection" in await said(f"rediss://127.0.0.1:{port}")
