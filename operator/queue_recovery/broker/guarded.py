"""A connection to Redis that is made only to an address that the operator's settings allow."""

from typing import Any

from redis.asyncio.connection import Connection
from typing_extensions import override

from queue_recovery.recovery.destinations import AddressNotAllowedError, Destinations


class GuardedConnection(Connection):
    """One whose host may come from a Secret or from a Sentinel."""

    def __init__(self, *, destinations: Destinations, **options: Any) -> None:  # noqa: ANN401 - as redis-py has them
        """Take the settings besides what a connection takes."""
        self._destinations = destinations
        super().__init__(**options)

    @override
    async def _connect(self) -> None:
        """Connect.

        Raises:
            AddressNotAllowedError: each address of the host, or the last one, is refused.
        """
        with self._destinations.guard(self.host) as guard:
            try:
                await super()._connect()  # type: ignore[no-untyped-call]
            except OSError:
                if guard.refused:
                    raise AddressNotAllowedError from None
                raise
