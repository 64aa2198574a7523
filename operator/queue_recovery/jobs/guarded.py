"""Connections to MongoDB that are made only to addresses that the operator's settings allow.

The driver connects to each member that a server of the set tells, and so to any address of the server's choice.
"""

from typing import Any, Final

from pymongo.asynchronous.pool import AsyncConnection, Pool
from typing_extensions import override

from queue_recovery.recovery.destinations import AddressNotAllowedError, Destinations

_MEMBERS: Final = 50
"""The most that a replica set can have; a server that tells more of them spends the operator's sockets."""


class Reach:
    """Where one client connects, and whether it was refused anywhere."""

    def __init__(self, destinations: Destinations) -> None:
        """Take the operator's settings."""
        self.refused = False
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
                    try:
                        return await super().connect(handler)
                    finally:
                        reach.refused |= guard.refused

        return GuardedPool

    def note(self, member: tuple[str, int | None]) -> None:
        """Count a member.

        Raises:
            AddressNotAllowedError: a replica set cannot have that many.
        """
        if member not in self._members and len(self._members) >= _MEMBERS:
            self.refused = True
            raise AddressNotAllowedError
        self._members.add(member)
