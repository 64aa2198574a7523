"""Connections to MongoDB that are made only to addresses that the operator's settings allow.

The driver connects to each member that a server of the set tells, and so to any address of the server's choice.
"""

import ssl
from collections.abc import Collection
from typing import Any, Final

from pymongo import AsyncMongoClient
from pymongo.asynchronous.pool import AsyncConnection, Pool
from pymongo.errors import AutoReconnect, NetworkTimeout
from typing_extensions import override

from queue_recovery.recovery.connect_failures import ConnectFailure, Kind, kind_of, place_of
from queue_recovery.recovery.destinations import AddressNotAllowedError, Destinations, Guard

_MEMBERS: Final = 50
"""The most that a replica set can have; a server that tells more of them spends the operator's sockets."""


_AFTERWARDS: Final[dict[frozenset[type], Kind]] = {
    frozenset([AutoReconnect]): Kind.CLOSED,
    frozenset([NetworkTimeout]): Kind.SILENT,
}
"""What has become of connections that had come up, by the errors of all servers."""


class Reach:
    """Where one client connects, and whether it was refused anywhere."""

    def __init__(
        self, destinations: Destinations, *, encrypted: bool = False, shown: Collection[tuple[str, int]] = ()
    ) -> None:
        """Take the operator's settings, whether the client speaks TLS, and the servers that a message may show."""
        self.refused = False
        """Whether an address was refused."""
        self.encrypted = encrypted
        self.agreed = False
        """Whether the last attempt to connect has succeeded."""
        self.of_tls = False
        """Whether it has failed for a certificate, or for TLS itself."""
        self._shown = shown
        self._failure: ConnectFailure | None = None
        self._attempt: tuple[tuple[str, int | None], Guard] | None = None
        """The last attempt to connect, while it is under way."""
        self._client: AsyncMongoClient[dict[str, object]] | None = None
        self._destinations = destinations
        self._members: set[tuple[str, int | None]] = set()

    def pool_class(self) -> type[Pool]:
        """Return the class of the client's pools, those of the monitors among them."""
        reach = self

        class GuardedPool(Pool):
            """Connections to one member."""

            @override
            async def connect(self, handler: Any = None) -> AsyncConnection:
                """Connect and log in."""
                reach.note(self.address)
                with reach._destinations.guard(self.address[0]) as guard:
                    reach._attempt = (self.address, guard)
                    try:
                        connection = await super().connect(handler)
                    except Exception as error:
                        reach.refused |= guard.refused
                        reach.agreed, reach.of_tls = False, _is_of_tls(error)
                        reach._failure = reach._failed(self.address, guard, error)
                        raise
                    finally:
                        reach._attempt = None
                reach.agreed, reach.of_tls, reach._failure = True, False, None
                return connection

        return GuardedPool

    @property
    def failure(self) -> ConnectFailure | None:
        """Why no connection comes up, or none that is of use; None: there are some, or that is not known."""
        if self._failure is None and self._attempt is not None and not self.agreed:
            address, guard = self._attempt
            return self._failed(address, guard, TimeoutError())
        if self._failure is None and self.agreed:
            kind = _AFTERWARDS.get(frozenset(map(type, self._errors())))
            return None if kind is None else ConnectFailure(kind)
        return self._failure

    def _errors(self) -> list[Exception | None]:
        """Return what the driver has last seen to fail of each server."""
        if self._client is None:
            return []
        return [server.error for server in self._client.topology_description.server_descriptions().values()]

    def _failed(self, address: tuple[str, int | None], guard: Guard, error: Exception) -> ConnectFailure:
        kind = kind_of(error, resolved=guard.resolved)
        return ConnectFailure(kind, place_of(*address) if guard.resolved and address in self._shown else None)

    def watch(self, client: AsyncMongoClient[dict[str, object]]) -> None:
        """Take the client, whose servers' errors are asked for later."""
        self._client = client

    def certificate_refused(self) -> bool:
        """Tell whether TLS keeps the operator from every server, by what the driver has last seen of them.

        With TLS 1.3 a server judges the client's certificate after the handshake, and its alert may be lost: then it is
        known only that the server has ended the connection before it answered.
        """
        if not self.encrypted or self._client is None:
            return False
        return self.of_tls or (self.agreed and all(type(error) is AutoReconnect for error in self._errors()))

    def note(self, member: tuple[str, int | None]) -> None:
        """Count a member.

        Raises:
            AddressNotAllowedError: a replica set cannot have that many.
        """
        if member not in self._members and len(self._members) >= _MEMBERS:
            self.refused = True
            raise AddressNotAllowedError
        self._members.add(member)


def _is_of_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
