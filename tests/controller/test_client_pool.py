"""One client for each server, however many use it at once."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from queue_recovery.controller.client_pool import ClientPool


@dataclass
class Connection:
    """What all who use a client share."""

    is_sound: bool = True
    closed: int = 0


@dataclass
class Client:
    """A client whose connection is seen to be closed."""

    connection: Connection = field(default_factory=Connection)
    release: Callable[[], Awaitable[None]] | None = None

    @property
    def is_sound(self) -> bool:
        return self.connection.is_sound

    def for_one_user(self, release: Callable[[], Awaitable[None]]) -> "Client":
        return Client(self.connection, release)

    async def aclose(self) -> None:
        if self.release is None:
            self.connection.closed += 1
        else:
            await self.release()


async def test_all_who_use_a_server_at_once_share_its_client_and_the_last_one_closes_it() -> None:
    pool: ClientPool[Client] = ClientPool()
    first, second = pool.acquire("redis", Client), pool.acquire("redis", Client)
    other = pool.acquire("another", Client)

    assert first.connection is second.connection is not other.connection
    await first.aclose()
    assert second.connection.closed == 0
    await second.aclose()
    assert second.connection.closed == 1


async def test_who_comes_after_the_last_one_gets_a_new_client() -> None:
    pool: ClientPool[Client] = ClientPool()
    first = pool.acquire("redis", Client)
    await first.aclose()

    assert pool.acquire("redis", Client).connection is not first.connection


async def test_a_server_that_has_failed_one_gets_a_new_client_and_the_old_one_is_closed_by_those_who_have_it() -> None:
    pool: ClientPool[Client] = ClientPool()
    first, second = pool.acquire("redis", Client), pool.acquire("redis", Client)
    first.connection.is_sound = False
    third = pool.acquire("redis", Client)

    assert third.connection is not first.connection
    await first.aclose()
    await second.aclose()
    assert (first.connection.closed, third.connection.closed) == (1, 0)
    assert pool.acquire("redis", Client).connection is third.connection
