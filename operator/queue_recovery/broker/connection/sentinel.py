"""Finding the primary by Sentinels, as redis.io's guidelines for clients ask: ask one after the other, then ROLE."""

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
    """A connection to the primary of the moment, without TLS."""


class SentinelTLSConnection(SentinelManagedConnection, TLSConnection):
    """A connection to the primary of the moment, by TLS."""


class Sentinels:
    """Those who know where the primary is; what `SentinelConnectionPool` asks for it."""

    def __init__(self, sentinels: Sequence[Redis]) -> None:
        """Take a client of each."""
        self._sentinels = list(sentinels)

    async def discover_master(self, name: str) -> tuple[str, int]:
        """Return host and port of the primary; the Sentinel that knew it is asked first the next time.

        Raises:
            PrimaryNotFoundError: none of them knows the name, or lets the operator ask.
            RedisError: none of them answers; the last one's.
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
    """Return host and port of a Sentinel's answer; None if it is none, as that of a server of another kind."""
    try:
        host, port = cast("Sequence[bytes]", answer)
        return host.decode(), int(port)
    except (AttributeError, TypeError, ValueError):
        return None


class PrimaryPool(SentinelConnectionPool):
    """Connections to the primary of the moment, for which the Sentinels are asked before each command.

    redis-py asks for new connections only. An old primary goes on taking writes on those that there are until the
    Sentinels turn it into a replica, some ten seconds after the failover, and all of those writes are lost.
    """

    def __init__(self, name: str, sentinels: Sentinels, **options: Any) -> None:  # noqa: ANN401 - as redis-py has them
        """Take the name that the Sentinels know, them, and what each connection is made with."""
        super().__init__(name, sentinels, **options)  # type: ignore[no-untyped-call]

    @override
    async def get_connection(
        self, command_name: str | None = None, *keys: object, **options: object
    ) -> AbstractConnection:
        """Return a connection to whom the Sentinels call the primary now; redis-py uses no argument any more."""
        await self.get_master_address()  # type: ignore[no-untyped-call]
        connection: AbstractConnection = await super().get_connection()  # type: ignore[no-untyped-call]
        return connection

    @override
    async def aclose(self) -> None:
        """Close the connections, and those to the Sentinels."""
        await super().aclose()
        await self.sentinel_manager.aclose()


async def connect_to_primary(connection: AbstractConnection) -> None:
    """Log in, and make sure by ROLE that it is a primary: a Sentinel may not know yet that it is none any more.

    Raises:
        PrimaryNotFoundError: it is a replica.
        NoPermissionError: the user may not ask.
    """
    await connection.on_connect()
    await connection.send_command("ROLE")
    role, *_ = await connection.read_response()
    if role != b"master":
        raise PrimaryNotFoundError(primary_demoted())
