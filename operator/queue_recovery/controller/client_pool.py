"""One client for each server, shared by all that use it at the same time."""

from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, Self, TypeVar


class Shareable(Protocol):
    """A client that several may use."""

    @property
    def is_sound(self) -> bool:
        """Whether its server has answered as it should so far."""
        ...

    def for_one_user(self, release: Callable[[], Awaitable[None]]) -> Self:
        """Return the same client for one user, whose `aclose` calls `release`."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


ClientT = TypeVar("ClientT", bound=Shareable)


@dataclass(eq=False)
class _Open(Generic[ClientT]):
    client: ClientT
    users: int = 0


class ClientPool(Generic[ClientT]):
    """The clients that are in use; the last user closes the connections."""

    def __init__(self) -> None:
        """Begin without any."""
        self._open: dict[Hashable, _Open[ClientT]] = {}

    def acquire(self, server: Hashable, make: Callable[[], ClientT]) -> ClientT:
        """Return the client of a server; the user calls its `aclose` in the end.

        A client whose server has not answered as it should is left to its present users: a new one finds the primary
        again.

        Args:
            server: all that the client is made from.
            make: makes a client, where none is in use.
        """
        found = self._open.get(server)
        if found is None or not found.client.is_sound:
            found = self._open[server] = _Open(make())
        return found.client.for_one_user(self._release(server, found))

    def _release(self, server: Hashable, used: _Open[ClientT]) -> Callable[[], Awaitable[None]]:
        used.users += 1

        async def release() -> None:
            used.users -= 1
            if used.users == 0:
                if self._open.get(server) is used:
                    del self._open[server]
                await used.client.aclose()

        return release
