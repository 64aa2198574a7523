"""Servers that cannot be worked with, and what is said about them."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from redis import exceptions
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection import connecting
from queue_recovery.broker.connection.failures import to_recovery_error
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import BrokerHealth, Restore, Run
from sandbox.broker import Broker as Server
from sandbox.broker import Flavour
from sandbox.processes import Scope, free_port
from tests.broker.application import recovery, tasks
from tests.broker.conftest import Connect
from tests.redis_server import EACH_KIND, needs_redis

PASSWORD = "hunter2"


@pytest.fixture(params=EACH_KIND)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    found: Flavour = request.param
    return found


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "_CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(connecting, "_ANSWER_SECONDS", 0.5)


def shown_as(url: str) -> str:
    """Return how a message shows the server of a URL, if its connection does not come up."""
    return f"the broker at {url.partition('://')[2].removesuffix('/0')}"


async def refusal(url: str, queue: str | None = None) -> RecoveryError:
    """Return what checking a broker raises."""
    broker = RedisBroker.connect(url, TransportOptions())
    try:
        with pytest.raises(RecoveryError) as refused:
            await (broker.check() if queue is None else broker.check_queue(queue))
    finally:
        await broker.aclose()
    assert PASSWORD not in str(refused.value)
    assert "127.0.0.1" not in str(refused.value) or shown_as(url) in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    return refused.value


async def test_a_primary_is_fine_and_tells_its_eviction_policy(broker: RedisBroker, redis: Redis) -> None:
    assert await broker.check() == BrokerHealth(eviction_policy="noeviction")
    assert await redis.keys() == []


async def test_nobody_listening() -> None:
    error = await refusal(f"redis://127.0.0.1:{free_port()}/0")

    assert (type(error), error.reason) == (RecoveryError, "BrokerUnavailable")


async def test_a_host_that_nobody_knows() -> None:
    error = await refusal("redis://no-such-host.invalid/0")

    assert (type(error), error.reason) == (RecoveryError, "BrokerUnavailable")


async def test_a_server_that_does_not_answer(scope: Scope) -> None:
    server = await Server.start(scope)
    server.pause()

    error = await refusal(server.url)

    assert (type(error), error.reason) == (RecoveryError, "BrokerUnavailable")
    server.resume()


async def test_a_database_that_does_not_exist(server: Server) -> None:
    error = await refusal(f"redis://127.0.0.1:{server.port}/4711")

    assert (type(error), error.reason) == (RecoveryError, "InvalidBrokerURL")
    assert "database" in error.message


@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
async def test_a_password_that_is_wrong_or_missing(scope: Scope, flavour: Flavour, login: str) -> None:
    server = await Server.start(scope, flavour=flavour, options=["--requirepass", PASSWORD])

    error = await refusal(f"redis://{login}127.0.0.1:{server.port}/0")

    assert (type(error), error.reason) == (RecoveryError, "BrokerAuthenticationFailed")


async def test_a_password_that_the_server_does_not_ask_for(server: Server) -> None:
    error = await refusal(f"redis://:{PASSWORD}@127.0.0.1:{server.port}/0")

    assert error.reason == "BrokerAuthenticationFailed"


async def test_a_replica(scope: Scope, flavour: Flavour) -> None:
    primary = await Server.start(scope, flavour=flavour)
    replica = await Server.start(scope, flavour=flavour, options=["--replicaof", "127.0.0.1", str(primary.port)])

    error = await refusal(replica.url)

    assert (type(error), error.reason) == (RecoveryError, "BrokerReadOnly")


async def test_a_replica_that_has_lost_its_primary(scope: Scope, flavour: Flavour) -> None:
    options = ["--replicaof", "127.0.0.1", str(free_port()), "--replica-serve-stale-data", "no"]
    replica = await Server.start(scope, flavour=flavour, options=options)

    error = await refusal(replica.url)

    assert error.reason in ("BrokerReadOnly", "BrokerUnavailable")
    assert "primary" in error.message


async def test_a_primary_with_too_few_replicas(scope: Scope, flavour: Flavour) -> None:
    server = await Server.start(scope, flavour=flavour, options=["--min-replicas-to-write", "1"])

    error = await refusal(server.url)

    assert (error.reason, "min-replicas" in error.message) == ("BrokerReadOnly", True)


async def test_a_node_of_a_cluster(scope: Scope, flavour: Flavour) -> None:
    server = await Server.start(scope, flavour=flavour, options=["--cluster-enabled", "yes"])

    error = await refusal(server.url)

    assert (type(error), error.reason) == (RecoveryError, "BrokerIsCluster")


@needs_redis
async def test_a_sentinel(scope: Scope) -> None:
    server = await Server.start(scope, flavour="redis", options=["--sentinel"])

    error = await refusal(server.url)

    assert (type(error), error.reason) == (RecoveryError, "InvalidBrokerURL")
    assert "Sentinel" in error.message


async def limited(server: Server, *rules: str) -> str:
    """Give a user these rules besides all that a recovery needs; return its URL."""
    async with Redis.from_url(server.url) as admin:
        await admin.execute_command(  # type: ignore[no-untyped-call]
            *("ACL", "SETUSER", "operator", "reset", "on", f">{PASSWORD}", "+@all", "-@dangerous", "-@admin", "+info"),
            *("~queuerecovery.dev:*", "~tts*", "~unacked*", "~_kombu.binding.*", *rules),
        )
    return f"redis://operator:{PASSWORD}@127.0.0.1:{server.port}/0"


@pytest.mark.usefixtures("redis")
async def test_a_user_with_no_more_than_these_permissions_is_enough(connect: Connect, server: Server) -> None:
    broker = connect(url=await limited(server))

    await broker.check()
    await broker.check_queue("tts")


@pytest.mark.usefixtures("redis")
async def test_a_user_who_may_not_ask_for_info_is_enough_but_the_eviction_policy_stays_unknown(
    connect: Connect, server: Server
) -> None:
    broker = connect(url=await limited(server, "-info"))

    assert await broker.check() == BrokerHealth(eviction_policy=None)


@pytest.mark.parametrize(
    "command",
    [
        "renamenx",
        "persist",
        "lpush",
        "rpush",
        "lpop",
        "rpop",
        "hset",
        "hdel",
        "zadd",
        "zrem",
        "unlink",
        "hscan",
        "eval",
        "set",
        "ping",
        "client|setname",
    ],
)
@pytest.mark.usefixtures("redis")
async def test_a_command_that_the_acl_forbids_is_named(server: Server, command: str) -> None:
    error = await refusal(await limited(server, f"-{command}"))

    assert (type(error), error.reason) == (RecoveryError, "BrokerPermissionDenied")
    assert command.upper().replace("|", " ") in error.message


@pytest.mark.usefixtures("redis")
async def test_keys_that_the_acl_forbids_are_found_before_anything_is_done(server: Server) -> None:
    url = await limited(server)

    error = await refusal(url, queue="mail")

    assert (type(error), error.reason) == (RecoveryError, "BrokerPermissionDenied")
    assert "key" in error.message


async def test_tls_towards_a_server_that_speaks_none(server: Server) -> None:
    error = await refusal(f"rediss://127.0.0.1:{server.port}/0")

    assert error.reason == "BrokerUnavailable"
    assert f"127.0.0.1:{server.port} timed out" in error.message
    assert "rediss://" in error.message


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (exceptions.BusyLoadingError("secret"), RecoveryError, "BrokerUnavailable"),
        (exceptions.MasterDownError("secret", status_code="MASTERDOWN"), RecoveryError, "BrokerUnavailable"),
        (exceptions.ReadOnlyError("secret", status_code="READONLY"), RecoveryError, "BrokerReadOnly"),
        (exceptions.ResponseError("MISCONF secret"), RecoveryError, "BrokerReadOnly"),
        (exceptions.ResponseError("BUSY secret"), RecoveryError, "BrokerUnavailable"),
        (exceptions.ResponseError("Error running script: secret -READONLY You"), RecoveryError, "BrokerReadOnly"),
        (exceptions.MovedError("1 127.0.0.1:7000"), RecoveryError, "BrokerIsCluster"),
        (exceptions.ClusterCrossSlotError("secret", status_code="CROSSSLOT"), RecoveryError, "BrokerIsCluster"),
        (exceptions.ResponseError("WRONGTYPE secret"), RecoveryError, "WrongKeyType"),
        (exceptions.ResponseError("ACL failure in script: User secret has"), RecoveryError, "BrokerPermissionDenied"),
        (exceptions.ResponseError("secret"), RecoveryError, "BrokerUnavailable"),
        (exceptions.MaxConnectionsError("secret"), RecoveryError, "BrokerUnavailable"),
        (exceptions.InvalidResponse("secret"), RecoveryError, "BrokerUnavailable"),
        (OSError("secret"), RecoveryError, "BrokerUnavailable"),
        (ssl.SSLError("secret"), RecoveryError, "BrokerUnavailable"),
    ],
)
def test_what_a_driver_raises_is_named_without_its_text(error: Exception, kind: type, reason: str) -> None:
    found = to_recovery_error(error)

    assert (type(found), found.reason) == (kind, reason)
    assert "secret" not in str(found)
    assert "127.0.0.1" not in str(found)


_COMMAND = re.compile(rb"\*\d+\r\n\$\d+\r\n([A-Z]+)\r\n")


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[RedisBroker]:
    """Serve one answer to each command except those of connecting; the block gets a broker on that server."""
    serving: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with suppress(ConnectionError):
            while data := await reader.read(2**20):
                for command in _COMMAND.findall(data):
                    writer.write(b"+OK\r\n" if command in {b"CLIENT", b"SELECT", b"PING"} else answer)
                await writer.drain()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    broker = RedisBroker.connect(f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0", TransportOptions())
    try:
        yield broker
    finally:
        await broker.aclose()
        listener.close()
        await asyncio.gather(*serving)


OPERATIONS: dict[str, Callable[[RedisBroker, Run], Awaitable[object]]] = {
    "check": lambda broker, _: broker.check(),
    "check the queue": lambda broker, _: broker.check_queue("tts"),
    "depths": lambda broker, _: broker.depths(["tts"]),
    "unacked": lambda broker, _: broker.unacked(["tts"]),
    "count": lambda broker, _: broker.count("tts"),
    "find": lambda broker, _: broker.queued_task_ids(["a"], "tts"),
    "holders": lambda broker, _: broker.holders("tts"),
    "expire": lambda broker, _: broker.expire_quarantines("cluster", _is_live, datetime.now(UTC)),
    "restorable": lambda broker, run: broker.restorable("tts", Restore(uid=run.uid, task_ids=None, as_new=False)),
    "open": lambda broker, run: broker.run(run).open(),
    "freeze": lambda broker, run: broker.run(run).freeze({"tts": {"0:str:a": None}}),
    "take": lambda broker, run: broker.run(run).take(),
    "push": lambda broker, run: broker.run(run).push({"tts": tasks(1)}),
    "pushed": lambda broker, run: broker.run(run).pushed(),
    "restore": lambda broker, run: broker.run(run).restore(),
    "close": lambda broker, run: broker.run(run).close(),
    "release": lambda broker, run: broker.run(run).release(expires=datetime.now(UTC), retain=True),
}


async def _is_live(_name: str, _uid: str) -> bool:
    return False


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("answer", [b":1", b"*2\r\n:1\r\n:1", b"*1\r\n*1\r\n:1", b"*3\r\n$2\r\nOK\r\n:1\r\n$-1"])
async def test_an_answer_of_another_type_is_no_servers_and_is_waited_for(answer: bytes, operation: str) -> None:
    async with answering(answer + b"\r\n") as broker:
        with pytest.raises(RecoveryError, match="does not answer as a Redis server does") as refused:
            await OPERATIONS[operation](broker, recovery("tts"))

    assert refused.value.reason == "BrokerUnavailable"


@pytest.mark.parametrize("answer", [b"*0\r\n", b"*1\r\n$5\r\nHELLO\r\n", b"*2\r\n$9\r\nWRONGTYPE\r\n$-1\r\n"])
async def test_an_answer_that_no_script_gives_does_not_pass_for_a_job_that_was_pushed(answer: bytes) -> None:
    async with answering(answer) as broker:
        with pytest.raises(RecoveryError, match="does not answer as a Redis server does"):
            await broker.run(recovery("tts")).push({"tts": tasks(1)})
