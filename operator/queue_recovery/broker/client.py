"""The only door to Redis: the commands that this room uses, in bytes, with the driver's exceptions named."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from queue_recovery.broker.bites import Portion
from queue_recovery.broker.failures import failures_named, named

Word = str | bytes | int | float

_SCAN_COUNT = 100
"""Members of a set asked for at once, so that the server is never held up for longer than some milliseconds."""

SCAN_KEYS_COUNT = 1000
"""Keys looked at at once, by their names alone: a database may hold millions of results beside the queues."""


class Client:
    """The commands, on one database."""

    def __init__(self, redis: Redis, database: int) -> None:
        """Take the driver's client, which is closed with this one, and the number of its database."""
        self._redis = redis
        self.database = database

    async def ping(self) -> None:
        """PING."""
        with failures_named():
            await self._redis.execute_command("PING")  # type: ignore[no-untyped-call]

    async def info(self) -> Mapping[str, object] | None:
        """INFO, or None where the ACL does not grant it: it belongs to the dangerous commands."""
        with failures_named():
            try:
                return await self._redis.info()
            except NoPermissionError:
                return None

    async def clients(self) -> str:
        """CLIENT LIST; empty where the ACL does not grant it: it belongs to the dangerous commands."""
        with failures_named():
            try:
                answer = await self._redis.execute_command("CLIENT", "LIST")  # type: ignore[no-untyped-call]
            except NoPermissionError:
                return ""
            return cast("bytes", answer).decode(errors="replace")

    async def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """GET of each key in one round trip."""
        return [cast("bytes | None", answer) for answer in await self._pipelined([("GET", key) for key in keys])]

    async def hmget_each(self, keys: Sequence[str], *fields: str) -> list[list[bytes | None]]:
        """HMGET of the same fields of each key in one round trip."""
        answers = await self._pipelined([("HMGET", key, *fields) for key in keys])
        return [cast("list[bytes | None]", answer) for answer in answers]

    async def hmget(self, key: str, *fields: str | bytes) -> list[bytes | None]:
        """HMGET."""
        with failures_named():
            return cast("list[bytes | None]", await self._redis.hmget(key, list(fields)))

    async def hgetall(self, key: str) -> dict[bytes, bytes]:
        """HGETALL; only for hashes of the operator's own, whose size is bounded."""
        with failures_named():
            return cast("dict[bytes, bytes]", await self._redis.hgetall(key))

    async def scan_hash(self, key: str) -> AsyncIterator[list[tuple[bytes, bytes]]]:
        """HSCAN over a whole hash, in portions.

        Every entry that is there from beginning to end is returned at least once (documented for SCAN).
        """
        cursor = 0
        portion = Portion()
        while True:
            with failures_named():
                cursor, found = await self._redis.hscan(key, cursor, count=portion.entries)
            entries = cast("dict[bytes, bytes]", found)
            portion.note(entries.values())
            yield list(entries.items())
            if cursor == 0:
                return

    async def scan_keys(self, pattern: str, kind: str) -> AsyncIterator[list[bytes]]:
        """SCAN over the whole database for keys of that type, in portions; a key may come twice."""
        cursor = 0
        while True:
            with failures_named():
                cursor, keys = await self._redis.scan(cursor, match=pattern, count=SCAN_KEYS_COUNT, _type=kind)
            yield cast("list[bytes]", keys)
            if cursor == 0:
                return

    async def scan_set(self, key: str | bytes) -> AsyncIterator[bytes]:
        """SSCAN over a whole set."""
        cursor = 0
        while True:
            with failures_named():
                cursor, members = await self._redis.sscan(key, cursor, count=_SCAN_COUNT)
            for member in cast("list[bytes]", members):
                yield member
            if cursor == 0:
                return

    async def lrange(self, key: str, first: int, last: int) -> list[bytes]:
        """LRANGE."""
        with failures_named():
            return cast("list[bytes]", await self._redis.lrange(key, first, last))

    async def newest(self, lists: Sequence[str | bytes]) -> list[bytes | None]:
        """LRANGE of each list's producers' end in one round trip; None for one that is gone or of another type."""
        answers = await self._pipelined([("LRANGE", key, 0, 0) for key in lists])
        return [answer[0] if isinstance(answer, list) and answer else None for answer in answers]

    async def due(self, key: str, until: float, limit: int) -> list[bytes]:
        """ZRANGEBYSCORE: the first members of a sorted set whose score has come."""
        with failures_named():
            return cast("list[bytes]", await self._redis.zrangebyscore(key, min="-inf", max=until, start=0, num=limit))

    async def by_rank(self, key: str, first: int, last: int) -> list[bytes]:
        """ZREVRANGE: members of a sorted set by rank, those of the highest score first."""
        with failures_named():
            return cast("list[bytes]", await self._redis.zrevrange(key, first, last))

    async def lengths(self, lists: Sequence[str], hashes: Sequence[str]) -> list[int]:
        """LLEN of each list and HLEN of each hash in one round trip; 0 for a key of another type."""
        answers = await self._pipelined([*(("LLEN", key) for key in lists), *(("HLEN", key) for key in hashes)])
        return [0 if isinstance(answer, ResponseError) else cast("int", answer) for answer in answers]

    async def types(self, keys: Sequence[str]) -> list[str]:
        """TYPE of each key in one round trip; `none` for a key that does not exist."""
        answers = await self._pipelined([("TYPE", key) for key in keys])
        return [cast("bytes", answer).decode() for answer in answers]

    async def unlink(self, keys: Sequence[str]) -> None:
        """UNLINK."""
        if keys:
            with failures_named():
                await self._redis.unlink(*keys)

    async def reschedule(self, key: str, member: str, score: float) -> None:
        """ZADD XX: give a member of a sorted set another score, if it is still there."""
        with failures_named():
            await self._redis.zadd(key, {member: score}, xx=True)

    async def forget(self, key: str, member: str) -> None:
        """ZREM."""
        with failures_named():
            await self._redis.zrem(key, member)

    async def script(self, text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
        """EVAL.

        Not EVALSHA: the text is short beside what it moves, and needs neither SCRIPT LOAD nor a second try after
        a restart or a fail-over.
        """
        with failures_named():
            return cast("list[bytes]", await self._redis.eval(text, len(keys), *keys, *arguments))

    async def aclose(self) -> None:
        """Close all connections, also in a task that is being cancelled."""
        try:
            await self._redis.aclose()
        except (RedisError, OSError) as error:
            raise named(error) from None

    async def _pipelined(self, commands: Sequence[tuple[Word, ...]]) -> list[object]:
        """Send all commands at once, without MULTI; an answer may be a ResponseError of WRONGTYPE and no other."""
        with failures_named():
            pipeline = self._redis.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            answers: list[object] = await pipeline.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
                raise named(answer)
        return answers
