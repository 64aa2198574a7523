"""A process that dies between two commands, and a network that delivers everything twice."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.scripts import Script, text_of


class Died(BaseException):
    """The process is gone: nothing may catch this."""


class _Mortal:
    """A connection that carries so many round trips and no more."""

    def __init__(self, redis: Redis, trips: int) -> None:
        self._redis = redis
        self.trips = trips

    def __getattr__(self, name: str) -> object:
        if self.trips == 0:
            raise Died
        self.trips -= 1
        return getattr(self._redis, name)


@contextmanager
def dying(broker: RedisBroker, trips: int) -> Iterator[list[Died]]:
    """Let the broker's process die after so many commands; it is started again afterwards.

    Yields a list that holds the death if it has come.
    """
    redis = broker.database.client.redis
    broker.database.client.redis = _Mortal(redis, trips)  # type: ignore[assignment]
    deaths: list[Died] = []
    try:
        yield deaths
    except Died as death:
        deaths.append(death)
    finally:
        broker.database.client.redis = redis


@contextmanager
def dying_at(broker: RedisBroker, script: Script, number: int = 1) -> Iterator[None]:
    """Let the broker's process die when it is about to send this script for that time; it is started again afterwards.

    It has to come to that.
    """
    send, left = broker.database.client.script, number

    async def mortal(text: str, keys: Sequence[str], arguments: Sequence[str | bytes | int | float]) -> list[bytes]:
        nonlocal left
        left -= text == text_of(script)
        if left == 0:
            raise Died
        return await send(text, keys, arguments)

    broker.database.client.script = mortal  # type: ignore[method-assign]
    with pytest.raises(Died):
        yield
    broker.database.client.script = send  # type: ignore[method-assign]


def sends_twice(broker: RedisBroker) -> RedisBroker:
    """Send every script twice, as redis-py does when an answer is late; both must answer the same."""
    once = broker.database.client.script

    async def twice(text: str, keys: Sequence[str], arguments: Sequence[str | bytes | int | float]) -> list[bytes]:
        first = await once(text, keys, arguments)
        assert await once(text, keys, arguments) == first
        return first

    broker.database.client.script = twice  # type: ignore[method-assign]
    return broker
