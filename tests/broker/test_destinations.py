"""Where a broker's URL and its Sentinels may lead: asked at the connect, of the address that is connected to."""

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection import connecting
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import BrokerHealth
from sandbox.broker import Broker as Server
from sandbox.processes import LOOPBACK, Scope
from sandbox.sentinels import Watched, ask

OTHER_LOOPBACK = "127.0.0.2"


@dataclass
class Listener:
    """A server on every loopback address, to which the operator must never connect."""

    port: int = 0
    connections: int = 0


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    found = Listener()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1")
    found.port = server.sockets[0].getsockname()[1]
    others = [await asyncio.start_server(accept, host, found.port) for host in (OTHER_LOOPBACK, "::1")]
    yield found
    for each in (server, *others):
        each.close()
        await each.wait_closed()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_RETRIES", 0)


async def checked(
    url: str,
    destinations: Destinations,
    *,
    master_name: str = "",
    certificates: Certificates | None = None,
) -> BrokerHealth:
    broker = RedisBroker.connect(
        url, TransportOptions(master_name=master_name), certificates=certificates, destinations=destinations
    )
    try:
        return await broker.check()
    finally:
        await broker.aclose()


async def refused(url: str, destinations: Destinations, *, master_name: str = "") -> None:
    """Make sure that the address is refused by name, without being shown."""
    with pytest.raises(RecoveryError) as error:
        await checked(url, destinations, master_name=master_name)
    assert error.value.reason == "AddressNotAllowed"
    assert "127." not in error.value.message
    assert error.value.__suppress_context__


@pytest.mark.parametrize("scheme", ["redis", "rediss", "sentinel"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "0", "[::1]", "[::ffff:127.0.0.1]"])
async def test_no_spelling_of_loopback_is_connected_to(listener: Listener, scheme: str, host: str) -> None:
    await refused(f"{scheme}://:hunter2@{host}:{listener.port}/0", Destinations(), master_name="media")

    assert listener.connections == 0


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "fe80::1"])
async def test_no_metadata_service_is_connected_to(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def resolve(*_: object, **__: object) -> list[object]:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        where = (address, 6379, 0, 0) if ":" in address else (address, 6379)
        return [(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", where)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    await refused("redis://metadata.example/0", Destinations())


async def test_a_name_that_changes_its_address_between_two_look_ups_is_still_refused(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["203.0.113.5", LOOPBACK]
    looked_up = []

    def resolve(*_: object, **__: object) -> list[object]:
        looked_up.append(answers[0] if len(answers) == 1 else answers.pop(0))
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (looked_up[-1], listener.port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr(connecting, "_CONNECT_SECONDS", 0.2)
    url, reasons = f"redis://rebinding.example:{listener.port}/0", []
    for _ in range(2):
        with pytest.raises(RecoveryError) as error:
            await checked(url, Destinations())
        reasons.append(error.value.reason)

    assert looked_up == ["203.0.113.5", LOOPBACK]
    assert reasons == ["BrokerUnavailable", "AddressNotAllowed"]
    assert listener.connections == 0


async def test_a_primary_that_a_sentinel_names_is_refused_like_one_that_the_url_names(
    listener: Listener, scope: Scope
) -> None:
    watched = await Watched.start(scope)
    only = Destinations(local_addresses=True, hosts=(LOOPBACK,))
    await ask(watched.sentinels[0], "SENTINEL", "MONITOR", "elsewhere", OTHER_LOOPBACK, listener.port, 1)

    assert await checked(watched.url, only, master_name="media") == BrokerHealth(eviction_policy="noeviction")
    await ask(watched.sentinels[0], "SENTINEL", "SET", "elsewhere", "down-after-milliseconds", 60_000)
    await refused(watched.url, only, master_name="elsewhere")


async def test_only_hosts_that_the_operators_settings_list_are_connected_to(server: Server) -> None:
    healthy = BrokerHealth(eviction_policy="noeviction")
    listed = Destinations(local_addresses=True, hosts=("localhost",))

    assert await checked(f"redis://localhost:{server.port}/0", listed) == healthy
    await refused(f"redis://{LOOPBACK}:{server.port}/0", listed)
    assert await checked(f"redis://{LOOPBACK}:{server.port}/0", ANYWHERE) == healthy


@pytest.mark.parametrize(
    "url",
    [
        "redis://:hun%0ater2@redis/0",
        "redis://hun%00ter2:x@redis/0",
        "redis://red%0d%0ais/0",
        "redis://:hunter2@red\nis/0",
        "redis://:hun\tter2@redis/0",
        "sentinel://one;sentinel://tw%0ao",
    ],
)
async def test_control_characters_are_refused_before_anything_is_connected_to(url: str) -> None:
    with pytest.raises(RecoveryError, match="control character") as error:
        await checked(url, Destinations())

    assert error.value.reason == "InvalidBrokerURL"
    assert "ter2" not in error.value.message
