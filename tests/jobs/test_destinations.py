"""The addresses that the operator connects to, and the options of a URL that have no effect."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from queue_recovery.jobs import url
from queue_recovery.jobs.connecting import Timeouts, connect
from queue_recovery.jobs.connections import Connections
from queue_recovery.recovery.destinations import AddressNotAllowedError, Destinations
from queue_recovery.recovery.errors import RecoveryError
from tests.jobs.scripted_server import Command, Reply, scripted
from tests.jobs.stores import connected, spec

QUICK = Timeouts(find_server=500)
ONLY_ONE = Destinations(local_addresses=True, hosts=("127.0.0.1",))


@dataclass
class Listener:
    """A server that the operator must never connect to."""

    address: str
    connections: int = 0


@pytest.fixture(params=["127.0.0.2", "socket"])
async def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Listener]:
    """Listen at another loopback address, or at a socket file."""

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        writer.close()

    if request.param == "socket":
        path = tmp_path / "mongodb-27017.sock"
        server: asyncio.Server = await asyncio.start_unix_server(accept, path)
        found = Listener(str(path))
    else:
        server = await asyncio.start_server(accept, request.param)
        found = Listener(f"{request.param}:{server.sockets[0].getsockname()[1]}")
    yield found
    server.close()
    await server.wait_closed()


def reply(_name: str, _command: Command) -> Reply:
    return {"ok": 1}


async def refused(address: str, destinations: Destinations) -> None:
    """Assert that the address is refused, and that the message does not show it."""
    async with connected(address, destinations=destinations, timeouts=QUICK) as store:
        with pytest.raises(RecoveryError) as error:
            await store.check()
    assert error.value.reason == "AddressNotAllowed"
    assert "127." not in error.value.message
    assert error.value.__suppress_context__


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
async def test_no_spelling_of_loopback_is_connected_to(host: str) -> None:
    async with scripted(reply) as server:
        await refused(f"mongodb://bob:hunter2@{host}:{server.port}/", Destinations())

        assert server.greetings == []


async def test_a_member_of_the_replica_set_is_refused_like_a_host_of_the_url(elsewhere: Listener) -> None:
    async with scripted(reply, members=[elsewhere.address]) as server:
        await refused(f"{server.url}?replicaSet=rs0", ONLY_ONE)

        assert server.greetings
    assert elsewhere.connections == 0


async def test_a_server_that_names_more_members_than_a_replica_set_can_have_is_refused() -> None:
    connections = Connections(Destinations())

    for number in range(50):
        connections.count((f"db{number}.example", 27017))
    connections.count(("db0.example", 27017))
    with pytest.raises(AddressNotAllowedError):
        connections.count(("db50.example", 27017))

    assert connections.address_refused


@pytest.mark.parametrize(
    "option",
    [
        *(
            "minPoolSize=100",
            "maxPoolSize=0",
            "maxConnecting=1000",
            "compressors=zlib,snappy,zstd",
            "zlibCompressionLevel=9",
        ),
        *("heartbeatFrequencyMS=500", "waitQueueTimeoutMS=1", "serverMonitoringMode=stream", "socketTimeoutMS=0"),
        *("readPreferenceTags=dc:x", "proxyHost=10.0.0.1", "proxyPort=1", "srvAllowedHostsSuffix=x", "appname=x"),
        *("AUTHMECHANISMPROPERTIES=ENVIRONMENT:k8s", "%6dinPoolSize=100"),
    ],
)
def test_an_option_that_costs_the_operator_sockets_or_cpu_does_not_reach_the_driver(option: str) -> None:
    assert url.prepare(f"mongodb://db.example/?{option}") == "mongodb://db.example/"
    assert url.prepare(f"mongodb://db.example?{option}&tls=true") == "mongodb://db.example/?tls=true"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("mongodb://%2Ftmp%2Fmongodb-27017%2Esock/app", "socket file"),
        ("mongodb://db.example,%2Ftmp%2Fmongodb-27017.soc%6b/app", "socket file"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.SOCK/app", "socket file"),
        ("mongodb://%2Ftmp%2Fmongodb/app", "socket file"),
        ("mongodb://bob:hun%0ater2@db.example/", "control character"),
        ("mongodb://b%00ob:hunter2@db.example/", "control character"),
        ("mongodb://db.exa%0dmple/", "control character"),
        ("mongodb://db.exa\nmple/", "control character"),
        (f"mongodb://{','.join(f'db{number}.example' for number in range(51))}/", "more than 50 servers"),
    ],
)
def test_socket_files_control_characters_and_too_many_hosts_are_refused(address: str, says: str) -> None:
    with pytest.raises(RecoveryError, match=says) as error:
        connect(address, spec("app", "jobs"))

    assert error.value.reason == "InvalidJobStoreURL"
    assert "ter2" not in error.value.message


async def test_a_server_at_an_allowed_address_that_is_down_is_unavailable() -> None:
    async with connected("mongodb://127.0.0.1:1/", destinations=ONLY_ONE, timeouts=QUICK) as store:
        with pytest.raises(RecoveryError) as error:
            await store.check()

    assert error.value.reason == "JobStoreUnavailable"
