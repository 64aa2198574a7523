"""The connections to MongoDB: they lead only to addresses that the operator's settings allow.

The driver connects to each member that a server of the replica set names, so a server could choose any address.
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

_MAX_MEMBERS: Final = 50
"""The most that a replica set can have. A server that names more would exhaust the operator's sockets."""


_AFTER_CONNECTING: Final[dict[frozenset[type], Kind]] = {
    frozenset([AutoReconnect]): Kind.CLOSED,
    frozenset([NetworkTimeout]): Kind.SILENT,
}
"""Why connections that had been made are of no use, by the errors of all servers."""


class Connections:
    """Where one client may connect, and why its last connection failed."""

    def __init__(
        self, destinations: Destinations, *, encrypted: bool = False, shown: Collection[tuple[str, int]] = ()
    ) -> None:
        """Store the settings.

        Args:
            destinations: the operator's settings of where it connects.
            encrypted: whether the client speaks TLS.
            shown: the servers, by host and port, that a message may show.
        """
        self.address_refused = False
        """Whether the settings do not allow an address that the client was led to."""
        self._encrypted = encrypted
        self._shown = shown
        self._connected = False
        """Whether the last attempt to connect has succeeded."""
        self._tls_failed = False
        """Whether it has failed because of a certificate, or of TLS itself."""
        self._failure: ConnectFailure | None = None
        self._attempt: tuple[tuple[str, int | None], Guard] | None = None
        """The last attempt to connect, while it is under way."""
        self._client: AsyncMongoClient[dict[str, object]] | None = None
        self._destinations = destinations
        self._members: set[tuple[str, int | None]] = set()

    def pool_class(self) -> type[Pool]:
        """Return the class of the client's pools, including those of its monitors."""
        connections = self

        class GuardedPool(Pool):
            """The connections to one member."""

            @override
            async def connect(self, handler: Any = None) -> AsyncConnection:
                """Connect and log in."""
                connections.count(self.address)
                with connections._destinations.guard(self.address[0]) as guard:
                    connections._attempt = (self.address, guard)
                    try:
                        connection = await super().connect(handler)
                    except Exception as error:
                        connections.address_refused |= guard.refused
                        connections._connected, connections._tls_failed = False, _is_from_tls(error)
                        connections._failure = connections._describe(self.address, guard, error)
                        raise
                    finally:
                        connections._attempt = None
                connections._connected, connections._tls_failed, connections._failure = True, False, None
                return connection

        return GuardedPool

    def observe(self, client: AsyncMongoClient[dict[str, object]]) -> None:
        """Store the client, whose view of its servers explains a failure later."""
        self._client = client

    @property
    def failure(self) -> ConnectFailure | None:
        """Why there is no usable connection; None: there is one, or it is unknown."""
        if self._failure is None and self._attempt is not None and not self._connected:
            address, guard = self._attempt
            return self._describe(address, guard, TimeoutError())
        if self._failure is None and self._connected:
            kind = _AFTER_CONNECTING.get(frozenset(map(type, self._errors())))
            return None if kind is None else ConnectFailure(kind)
        return self._failure

    def certificate_refused(self) -> bool:
        """Tell whether TLS fails with every server, as far as the driver knows.

        With TLS 1.3 a server judges the client's certificate after the handshake, and its alert may be lost: then all
        that is known is that the server has closed the connection before it answered.
        """
        if not self._encrypted or self._client is None:
            return False
        return self._tls_failed or (self._connected and all(type(error) is AutoReconnect for error in self._errors()))

    def count(self, member: tuple[str, int | None]) -> None:
        """Count a member of the replica set.

        Raises:
            AddressNotAllowedError: a replica set cannot have that many.
        """
        if member not in self._members and len(self._members) >= _MAX_MEMBERS:
            self.address_refused = True
            raise AddressNotAllowedError
        self._members.add(member)

    def _errors(self) -> list[Exception | None]:
        """Return the last error of each server, as the driver has it."""
        if self._client is None:
            return []
        return [server.error for server in self._client.topology_description.server_descriptions().values()]

    def _describe(self, address: tuple[str, int | None], guard: Guard, error: Exception) -> ConnectFailure:
        kind = kind_of(error, resolved=guard.resolved)
        return ConnectFailure(kind, place_of(*address) if guard.resolved and address in self._shown else None)


def _is_from_tls(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return True
        error = error.__cause__ or error.__context__
    return False
