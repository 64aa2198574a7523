"""A connection to Redis that is made only to an address that the operator's settings allow."""

from typing import Any

from redis.asyncio.connection import Connection
from typing_extensions import override

from queue_recovery.recovery.connect_failures import ConnectFailedError, ConnectFailure, kind_of, place_of
from queue_recovery.recovery.destinations import AddressNotAllowedError, Destinations


class GuardedConnection(Connection):
    """One whose host may come from a Secret or from a Sentinel."""

    def __init__(
        self,
        *,
        destinations: Destinations,
        shows_host: bool = False,
        **options: Any,  # noqa: ANN401 - as redis-py has them
    ) -> None:
        """Take the settings besides what a connection takes, and whether messages may show its host and port."""
        self._destinations = destinations
        self._shows_host = shows_host
        super().__init__(**options)

    @override
    async def _connect(self) -> None:
        """Connect.

        Raises:
            AddressNotAllowedError: each address of the host, or the last one, is refused.
            OSError: it does not come up; its cause says where and why (`ConnectFailedError`).
        """
        with self._destinations.guard(self.host) as guard:
            try:
                await super()._connect()  # type: ignore[no-untyped-call]
            except OSError as error:
                if guard.refused:
                    raise AddressNotAllowedError from None
                place = place_of(self.host, self.port) if self._shows_host and guard.resolved else None
                raise error from ConnectFailedError(ConnectFailure(kind_of(error, resolved=guard.resolved), place))
