"""Connections to Redis that are made only to addresses which the operator's settings allow."""

from typing import Any

from redis.asyncio.connection import Connection
from typing_extensions import override

from queue_recovery.recovery.connect_failures import ConnectFailedError, ConnectFailure, kind_of, place_of
from queue_recovery.recovery.destinations import AddressNotAllowedError, Destinations


class GuardedConnection(Connection):
    """A connection whose host may come from a Secret or from a Sentinel."""

    def __init__(
        self,
        *,
        destinations: Destinations,
        shows_host: bool = False,
        **options: Any,  # noqa: ANN401 - as redis-py has them
    ) -> None:
        """Store the allowed addresses, and whether messages may show this host and port."""
        self._destinations = destinations
        self._shows_host = shows_host
        super().__init__(**options)

    @override
    async def _connect(self) -> None:
        """Connect.

        Raises:
            AddressNotAllowedError: each address of the host, or the last one, is refused.
            OSError: the connect failed; its cause says where and why (`ConnectFailedError`).
        """
        with self._destinations.guard(self.host) as guard:
            try:
                await super()._connect()  # type: ignore[no-untyped-call]
            except OSError as error:
                if guard.refused:
                    raise AddressNotAllowedError from None
                place = place_of(self.host, self.port) if self._shows_host and guard.resolved else None
                raise error from ConnectFailedError(ConnectFailure(kind_of(error, resolved=guard.resolved), place))
