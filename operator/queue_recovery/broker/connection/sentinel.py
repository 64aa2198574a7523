"""Find the primary through Sentinels, as redis.io's guidelines for clients say: ask each in turn, then send ROLE."""

from collections.abc import Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool, SentinelManagedConnection
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from typing_extensions import override

from queue_recovery.broker.connection.failures import (
    PrimaryNotFoundError,
    primary_demoted,
    primary_unknown,
    sentinel_login_refused,
)
from queue_recovery.broker.connection.guarded import GuardedConnection
from queue_recovery.broker.connection.tls import TLSConnection
from queue_recovery.recovery.errors import RecoveryError


class SentinelConnection(SentinelManagedConnection, GuardedConnection):
    """A connection to the current primary, without TLS."""


class SentinelTLSConnection(SentinelManagedConnection, TLSConnection):
    """A connection to the current primary, with TLS."""


class Sentinels:
    """The Sentinels of a URL, with the method that `SentinelConnectionPool` calls to find the primary."""

    def __init__(self, sentinels: Sequence[Redis]) -> None:
        """Store a client of each Sentinel."""
        self._sentinels = list(sentinels)

    async def discover_master(self, name: str) -> tuple[str, int]:
        """Return host and port of the primary; the Sentinel that knew it is asked first the next time.

        Raises:
            PrimaryNotFoundError: none of them knows the name, or all refuse the login.
            RedisError: none of them answers; the error of the last one.
        """
        meaning: RecoveryError | None = None
        silent: Exception | None = None
        for sentinel in list(self._sentinels):
            try:
                answer = await sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)  # type: ignore[no-untyped-call]
            except (AuthenticationError, NoPermissionError):
                meaning = sentinel_login_refused()
            except (RedisError, OSError) as error:
                silent = error
            else:
                if answer is not None:
                    self._sentinels.remove(sentinel)
                    self._sentinels.insert(0, sentinel)
                    if (address := _address(answer)) is not None:
                        return address
                meaning = meaning or primary_unknown()
        if meaning is None and silent is not None:
            raise silent
        raise PrimaryNotFoundError(meaning or primary_unknown())

    async def aclose(self) -> None:
        """Close all connections to Sentinels."""
        for sentinel in self._sentinels:
            await sentinel.aclose()


def _address(answer: object) -> tuple[str, int] | None:
    """Return host and port of a Sentinel's answer; None if it has another form."""
    try:
        host, port = cast("Sequence[bytes]", answer)
        return host.decode(), int(port)
    except (AttributeError, TypeError, ValueError):
        return None


class PrimaryPool(SentinelConnectionPool):
    """Connections to the current primary; the Sentinels are asked before each command.

    redis-py asks for new connections only. An old primary accepts writes on existing ones until the Sentinels demote
    it, about ten seconds after the failover, and all of those writes are lost.
    """

    def __init__(self, name: str, sentinels: Sentinels, **options: Any) -> None:  # noqa: ANN401 - as redis-py has them
        """Store the primary's name, its Sentinels, and the options of each connection."""
        super().__init__(name, sentinels, **options)  # type: ignore[no-untyped-call]

    @override
    async def get_connection(
        self, command_name: str | None = None, *keys: object, **options: object
    ) -> AbstractConnection:
        """Return a connection to the current primary; redis-py ignores the arguments."""
        await self.get_master_address()  # type: ignore[no-untyped-call]
        connection: AbstractConnection = await super().get_connection()  # type: ignore[no-untyped-call]
        return connection

    @override
    async def aclose(self) -> None:
        """Close the connections, and those to the Sentinels."""
        await super().aclose()
        await self.sentinel_manager.aclose()


async def connect_to_primary(connection: AbstractConnection) -> None:
    """Log in, and check by ROLE that the server is a primary: a Sentinel may not know yet that it was demoted.

    Raises:
        PrimaryNotFoundError: it is a replica.
        NoPermissionError: the user may not ask.
    """
    await connection.on_connect()
    await connection.send_command("ROLE")
    role, *_ = await connection.read_response()
    if role != b"master":
        raise PrimaryNotFoundError(primary_demoted())
