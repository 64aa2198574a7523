"""The commands that this room sends to Redis: replies are bytes, and the driver's exceptions are translated.

No value that another client may have written is read before its size is known: where no command returns the size, a
script does (`scripts.Reading`).
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import InvalidResponse, NoPermissionError, RedisError, ResponseError

from queue_recovery.api.reasons import Outcome
from queue_recovery.broker.connection.batches import MOST_BYTES, MOST_ENTRIES, PageSize
from queue_recovery.broker.connection.failures import to_recovery_error, translated_failures
from queue_recovery.broker.connection.replies import LARGEST_REPLY, ReplyTooLargeError, replies_up_to
from queue_recovery.broker.connection.shapes import MAYBE_WORDS, SHAPES, WORDS, shaped, text
from queue_recovery.broker.connection.values import END, LARGEST, Indexed, Kind, Large, Value
from queue_recovery.broker.scripts import Reading, text_of
from queue_recovery.recovery.errors import RecoveryError

_AT_ONCE = 8
"""Commands in flight, and so connections: all recoveries of a target share them."""

Word = str | bytes | int | float

_SCAN_COUNT = 100
"""Members of a set per command, so that each blocks the server for a few milliseconds at most."""

SCAN_KEYS_COUNT = 1000
"""Keys per SCAN, which compares only their names: a database may hold millions of results beside the queues."""

LONGEST_WORD = 1024
"""Longest name in bytes that is read whole if another client may have written it: a UID, a delivery tag, a binding."""

_OLDEST_AT_ONCE = 250
"""Members of an index in one reply: a thousand take a server more than five milliseconds."""

_MOST_FIELDS = 10_000
"""Fields of a record at most: a recovery lists up to 1,000 jobs, each of which has up to four."""

_MOST_OF_RECORD = 4 * 2**20
"""Bytes of a record at most; one that the operator writes has up to 3.5 MiB.

For each of 1,000 jobs that is its key, twice (all ids share 0.5 MiB: `recovery.jobs.check_size`), its status and its
task id as JSON (1 KiB each: `jobs.documents`), and digests."""

_LARGEST_NEWEST = 64 * 2**10
"""Bytes that are read of a message to tell Celery's lists from others."""

_LARGEST_INFO = 2**18
"""Bytes of the reply to INFO at most; it usually has about ten thousand."""

_SMALL = 1024
"""Bytes that a reply may always have: a number, a name, or an error."""

_INFO = re.compile(rb"^(\w+):([^\r\n]{0,200})\r?$", re.MULTILINE)


class Client:
    """The commands, sent to one database."""

    def __init__(self, redis: Redis, database: int) -> None:
        """Wrap the driver's client of that database; this one closes it."""
        self.database = database
        self.is_sound = True
        """False once a command has failed: the name may lead to another server by now, so connect again."""
        self.redis = redis
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def ping(self) -> None:
        """Send PING."""
        async with self._commanding():
            await self.redis.execute_command("PING")  # type: ignore[no-untyped-call]

    async def info(self) -> Mapping[str, str] | None:
        """Return INFO, or None where the ACL does not grant it: it is one of the dangerous commands."""
        # The driver would parse the whole reply at once, however large.
        self.redis.response_callbacks.pop("INFO", None)
        async with self._commanding(_LARGEST_INFO):
            try:
                answer = text(await self.redis.execute_command("INFO"))  # type: ignore[no-untyped-call]
            except NoPermissionError:
                return None
        return {name.decode(): value.decode(errors="replace") for name, value in _INFO.findall(answer)}

    async def clients(self) -> bytes:
        """Return CLIENT LIST, or nothing where the ACL does not grant it or it is too large.

        It is one of the dangerous commands. It lists the whole server's connections, also those of other databases, and
        each of them chooses the length of its name.
        """
        async with self._commanding():
            try:
                return text(await self.redis.execute_command("CLIENT", "LIST"))  # type: ignore[no-untyped-call]
            except (NoPermissionError, ReplyTooLargeError):
                return b""

    async def words(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return the first bytes of each key's value in one round trip; None for an empty or absent one."""
        # All answers are in memory until the last has arrived.
        async with self._commanding(max(_SMALL, LARGEST_REPLY // max(1, len(keys)))):
            pipeline = self.redis.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command("GETRANGE", key, 0, LONGEST_WORD - 1)
            answers = await pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, RedisError):
                    raise answer  # as the server has it, without the command that the driver would add
            return [text(answer) or None for answer in answers]

    async def strings(self, keys: Sequence[str], most: int) -> list[bytes | None]:
        """Return the first bytes of each string in one round trip; None for one that is absent, or no string."""
        # All answers are in memory until the last has arrived.
        async with self._commanding(most + _SMALL):
            pipeline = self.redis.pipeline(transaction=False)
            for key in keys:
                pipeline.execute_command("GETRANGE", key, 0, most - 1)
            answers = await pipeline.execute(raise_on_error=False)
            found: list[bytes | None] = []
            for answer in answers:
                if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
                    found.append(None)
                elif isinstance(answer, RedisError):
                    raise answer
                else:
                    found.append(text(answer) or None)
            return found

    async def hmget_each(self, keys: Sequence[str], *fields: str) -> list[list[bytes | None]]:
        """Return the same fields of each key in one round trip; None for a value that is absent or too long."""
        if not keys:
            return []
        answer = cast("list[bytes | None]", await self._read(Reading.EACH, keys, [LONGEST_WORD, *fields]))
        return [answer[first : first + len(fields)] for first in range(0, len(answer), len(fields))]

    async def hmget(self, key: str, *fields: str) -> list[bytes | None]:
        """Return fields of one key; None for a value that is absent or too long."""
        (found,) = await self.hmget_each([key], *fields)
        return found

    async def values(
        self, key: str, fields: Sequence[bytes], *, largest: int = LARGEST, end: int = END
    ) -> list[Value | None]:
        """Return the values of the first of these fields, as many as fit into one reply, at least one.

        Of a value with more than `largest` bytes, only the last `end` bytes are read.
        """
        return list(_shown(await self._read(Reading.FIELDS, [key], [largest, end, MOST_BYTES, *fields])))

    async def oldest(self, index: str, key: str, most: int) -> tuple[int, list[Indexed]]:
        """Return the number of a hash's fields, and those of the lowest scores in its index, the lowest first.

        Fields that are too long are left out; a key of another type has none. They are read in portions. If others are
        removed meanwhile, as many of the next ones may be missing: the number is that of the first portion.
        """
        total, oldest = 0, dict[bytes, Indexed]()
        for first in range(0, most, _OLDEST_AT_ONCE):
            limits = [first, min(first + _OLDEST_AT_ONCE, most), MOST_BYTES, LONGEST_WORD]
            count, rest, *found = await self._read(Reading.OLDEST, [index, key], limits)
            total = total if first else cast("int", count)
            fields, scores = cast("Sequence[bytes]", found[::3]), cast("Sequence[bytes]", found[1::3])
            sizes = cast("Sequence[int]", found[2::3])
            entries = zip(fields, scores, sizes, strict=True)
            oldest.update((field, Indexed(field, float(score), size)) for field, score, size in entries)
            if rest != b"MORE":
                break
        return total, list(oldest.values())

    async def delivered(self, index: str, key: str, rest: int | None = None) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Return fields of a hash with their scores in its index as text, those of the highest score first.

        Args:
            index: the sorted set.
            key: the hash.
            rest: how many members of the lowest scores are left, as the last call returned it; None: begin.

        Returns:
            How many members are left, and the next fields. Those that are too long are left out.
        """
        words: list[Word] = ["" if rest is None else rest, MOST_ENTRIES, LONGEST_WORD]
        left, *found = await self._read(Reading.DELIVERED, [index, key], words)
        fields, scores = cast("Sequence[bytes]", found[::3]), cast("Sequence[bytes]", found[1::3])
        return cast("int", left), list(zip(fields, scores, strict=True))

    async def record(self, key: str) -> dict[bytes, bytes] | None:
        """Return a hash that the operator wrote; None if it is larger than any that the operator writes."""
        kind, *words = cast("list[bytes]", await self._read(Reading.RECORD, [key], [_MOST_FIELDS, _MOST_OF_RECORD]))
        return None if kind == b"LARGE" else dict(zip(words[::2], words[1::2], strict=True))

    async def scan_hash(self, key: str) -> AsyncIterator[list[tuple[bytes | None, Value]]]:
        """Return all entries of a hash by HSCAN, in portions; None for a field that is too long.

        Each entry that exists throughout is returned at least once (documented for SCAN).
        """
        cursor = 0
        page = PageSize(first=1)  # HSCAN copies each entry that it returns
        while True:
            limits = [LARGEST, END, MOST_BYTES, LONGEST_WORD]
            answer = await self._read(Reading.HASH, [key], [cursor, page.entries, *limits])
            cursor = int(cast("bytes", answer[0]))
            fields = [cast("bytes | None", field) for field in answer[1::3]]
            sizes = cast("list[int]", answer[2::3])
            shown = list(_values(sizes, cast("list[bytes | None]", answer[3::3])))
            page.note(sizes)
            yield [(field, value) for field, value in zip(fields, shown, strict=True) if value is not None]
            # Entries that did not fit into the reply. One that is gone by now did not exist throughout.
            rest = [field for field, value in zip(fields, shown, strict=True) if field is not None and value is None]
            while rest:
                values = await self.values(key, rest)
                yield [(field, value) for field, value in zip(rest, values, strict=False) if value is not None]
                rest = rest[len(values) :]
            if cursor == 0:
                return

    async def scan_keys(self, pattern: str, kind: str) -> AsyncIterator[list[bytes]]:
        """Return the keys of a type in the whole database by SCAN, in portions; a key may come twice."""
        cursor = 0
        while True:
            async with self._commanding():
                cursor, keys = await self.redis.scan(cursor, match=pattern, count=SCAN_KEYS_COUNT, _type=kind)
            yield cast("list[bytes]", keys)
            if cursor == 0:
                return

    async def scan_set(self, key: str | bytes, spend: Callable[[], None] | None = None) -> AsyncIterator[bytes]:
        """Return a set's members by SSCAN, without those that are too long; `spend` is called before each command."""
        cursor = b"0"
        while True:
            if spend is not None:
                spend()
            cursor, *members = cast(
                "list[bytes]", await self._read(Reading.SET, [], [cursor, _SCAN_COUNT, LONGEST_WORD, key])
            )
            for member in members:
                yield member
            if cursor == b"0":
                return

    async def lrange(self, key: str, first: int, last: int) -> list[Value]:
        """Return a range of a list as LRANGE does, as many messages as fit into one reply, at least one."""
        shown = _shown(await self._read(Reading.LIST, [key], [first, last, LARGEST, END, MOST_BYTES]))
        return [value for value in shown if value is not None]

    async def newest(self, lists: Sequence[bytes]) -> AsyncIterator[tuple[bytes, Value]]:
        """Return each list's newest message; a key that is absent or of another type is omitted."""
        rest = lists
        while rest:
            answer = await self._read(Reading.NEWEST, [], [_LARGEST_NEWEST, END, MOST_BYTES, *rest])
            values = list(_shown(answer))
            for key, value in zip(rest, values, strict=False):
                if value is not None:
                    yield key, value
            rest = rest[len(values) :]

    async def next_of_each(self, lists: Sequence[str], most: int) -> AsyncIterator[tuple[str, list[Value]]]:
        """Return the last messages of each list, up to `most`, the last first; a key of another type has none."""
        rest = lists
        while rest:
            answer = await self._read(Reading.NEXT, [], [most, _LARGEST_NEWEST, END, MOST_BYTES, *rest])
            read = 0
            while answer:
                count = cast("int", answer[0])
                until = 2 + 2 * count
                if not 0 <= count <= most or until > len(answer) or read == len(rest):
                    raise to_recovery_error(InvalidResponse("an answer has another number of elements"))
                yield rest[read], [value for value in _shown(answer[2:until]) if value is not None]
                answer = answer[until:]
                read += 1
            if not read:
                return
            rest = rest[read:]

    async def by_rank(self, key: str, first: int, last: int) -> list[bytes]:
        """Return members of a sorted set by rank, those of the highest score first (ZREVRANGE)."""
        async with self._commanding():
            return cast("list[bytes]", shaped(await self.redis.zrevrange(key, first, last), WORDS))

    async def lengths(self, lists: Sequence[str], hashes: Sequence[str]) -> list[int]:
        """Return the length of each list and each hash in one round trip; 0 for a key of another type."""
        kinds = await self.kinds([*lists, *hashes])
        wanted = [*((key, "list") for key in lists), *((key, "hash") for key in hashes)]
        return [found.length if (found := kinds.get(key)) and found.type == kind else 0 for key, kind in wanted]

    async def kinds(self, keys: Sequence[str]) -> Mapping[str, Kind]:
        """Return the type and length of each key that exists, in one command: a queue may have 256 lists."""
        answer = await self._read(Reading.KINDS, keys, [])
        places, lengths = cast("Sequence[int]", answer[::3]), cast("Sequence[int]", answer[2::3])
        types = cast("Sequence[bytes]", answer[1::3])
        return {
            keys[place - 1]: Kind(kind.decode(), length)
            for place, kind, length in zip(places, types, lengths, strict=True)
        }

    async def unlink(self, keys: Sequence[str]) -> None:
        """Unlink keys."""
        if keys:
            async with self._commanding():
                await self.redis.unlink(*keys)

    async def reschedule(self, key: str, member: bytes, score: float) -> None:
        """Change the score of a member of a sorted set, if it still exists (ZADD XX)."""
        async with self._commanding():
            await self.redis.zadd(key, {member: score}, xx=True)

    async def forget(self, key: str, member: bytes) -> None:
        """Remove a member of a sorted set."""
        async with self._commanding():
            await self.redis.zrem(key, member)

    async def script(self, text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
        """Run a script by EVAL.

        Not by EVALSHA: the text is short compared with what it moves, and EVAL needs neither SCRIPT LOAD nor a second
        try after a restart or a failover.
        """
        async with self._commanding():
            answer = await self.redis.eval(text, len(keys), *keys, *arguments)
            return cast("list[bytes]", shaped(answer, MAYBE_WORDS))

    async def aclose(self) -> None:
        """Close all connections, even in a task that is being cancelled."""
        try:
            await self.redis.aclose()
        except (RedisError, OSError) as error:
            raise to_recovery_error(error) from None

    @asynccontextmanager
    async def _commanding(self, largest: int | None = None) -> AsyncIterator[None]:
        """Limit the commands in flight and translate their failures; `largest` limits the reply, in bytes."""
        async with self._turns:
            try:
                with translated_failures(), nullcontext() if largest is None else replies_up_to(largest):
                    yield
            except RecoveryError as error:
                self.is_sound = self.is_sound and error.outcome is not Outcome.UNAVAILABLE
                raise

    async def _read(self, script: Reading, keys: Sequence[str | bytes], arguments: Sequence[Word]) -> list[object]:
        """Run a script that only reads."""
        async with self._commanding():
            return shaped(await self.redis.eval(text_of(script), len(keys), *keys, *arguments), SHAPES[script])


def _shown(answer: Sequence[object]) -> Iterator[Value | None]:
    """Parse a script's answer: for each value its size, and the part that was sent."""
    return _values(cast("Sequence[int]", answer[::2]), cast("Sequence[bytes | None]", answer[1::2]))


def _values(sizes: Sequence[int], shown: Sequence[bytes | None]) -> Iterator[Value | None]:
    for size, part in zip(sizes, shown, strict=True):
        yield part if part is None or len(part) == size else Large(size, part)
