"""Lists of a quarantine that are being sorted, and a broker that loses them or a part of them."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import cast

from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Closed, Restored, Run
from tests.broker.application import SEP, restoring, selecting
from tests.broker.conftest import Connect

LATER = datetime(2030, 1, 1, tzinfo=UTC)
KEYS = {0: "tts", 3: f"tts{SEP}3"}
EACH = 104
"""Messages of each list, which take two batches; every other one is selected."""

Lose = Callable[[Redis, str], Awaitable[object]]


async def delete(redis: Redis, key: str) -> None:
    await redis.delete(key)


async def trim_the_head(redis: Redis, key: str) -> None:
    await redis.ltrim(key, 3, -1)


async def trim_the_tail(redis: Redis, key: str) -> None:
    await redis.ltrim(key, 0, -4)


async def trim_to_one(redis: Redis, key: str) -> None:
    await redis.ltrim(key, 0, 0)


class Fixture:
    """Two lists of a queue that are being sorted, by a purge or by a restore, and what the broker has lost of them."""

    def __init__(self, redis: Redis, run: Run, earlier: Run) -> None:
        self.redis = redis
        self.run = run
        self.earlier = earlier
        self.total = EACH * len(KEYS)
        self.lost = 0
        self.in_order = True

    @classmethod
    async def purging(cls, redis: Redis, connect: Connect) -> "Fixture":
        """Open a recovery of a part of the queue."""
        await cls._fill(redis)
        run = selecting(min_retries=1)
        await connect().run(run).open()
        return cls(redis, run, run)

    @classmethod
    async def restoring(cls, redis: Redis, connect: Connect) -> "Fixture":
        """Open a recovery that puts a part of what another one has taken back."""
        await cls._fill(redis)
        broker, earlier = connect(), selecting(tasks=["tts.render"])
        await broker.run(earlier).open()
        await broker.run(earlier).take()
        await broker.run(earlier).close()
        await broker.run(earlier).release(expires=LATER, retain=True)
        run = restoring(earlier, task_ids=[f"{priority}-{n}" for priority in KEYS for n in range(0, EACH, 2)])
        await broker.run(run).open()
        return cls(redis, run, earlier)

    @staticmethod
    async def _fill(redis: Redis) -> None:
        await redis.flushdb()
        for priority, key in KEYS.items():
            await redis.lpush(key, *(message(f"{priority}-{n}", n % 2) for n in range(EACH)))

    async def sort(self, broker: RedisBroker) -> None:
        """Take the messages, or put them back."""
        run = broker.run(self.run)
        await (run.take() if self.run.restore is None else run.restore())

    def quarantined(self, priority: int = 0) -> str:
        """Return the key of a list of the quarantine."""
        return f"queuerecovery.dev:quarantine:{self.earlier.uid}:1:ready:{priority}"

    def going(self, priority: int = 0) -> str:
        """Return the key of what goes back."""
        return f"queuerecovery.dev:quarantine:{self.run.uid}:1:left:{priority}"

    async def sorted_now(self) -> list[str]:
        """Return the keys of the lists that are not sorted yet, and of those that are not back in the queue yet."""
        record = cast("dict[bytes, bytes]", await self.redis.hgetall(f"queuerecovery.dev:run:{self.run.uid}"))
        keys: list[str] = []
        for field, unsorted in record.items():
            if field.startswith(b"unsorted:"):
                keys += [] if unsorted == b"0" else [self.quarantined(int(field[-1:]))]
                keys.append(self.going(int(field[-1:])))
        return [key for key in keys if await self.redis.exists(key)]

    async def lose(self, key: str, lose: Lose = delete) -> None:
        """Let the broker lose a list, or a part of it."""
        before = await self.redis.llen(key)
        await lose(self.redis, key)
        self.lost += before - await self.redis.llen(key)
        self.in_order = lose is not trim_the_head

    async def check(self, closed: Closed) -> None:
        """Compare what a closed run says with what is there."""
        queue, quarantine = [
            sum([await self.redis.llen(key(priority)) for priority in KEYS])
            for key in (KEYS.__getitem__, self.quarantined)
        ]
        assert closed.lost == self.lost
        if self.run.restore is None:
            assert closed.taken is not None
            assert (closed.taken.ready, closed.taken.left) == (quarantine, queue)
        else:
            assert closed.restored == Restored(restored=queue, left=quarantine)
        assert queue + quarantine + self.lost == self.total
        assert not await self.redis.keys("*:left:*")
        for key in [*KEYS.values(), *(map(self.quarantined, KEYS) if self.in_order else [])]:
            found = [_number(one) for one in cast("list[bytes]", await self.redis.lrange(key, 0, -1))]
            assert found == sorted(found, reverse=True), key


def message(name: str, retries: int) -> bytes:
    headers = {"id": name, "task": "tts.render", "retries": retries}
    return json.dumps({"body": "", "headers": headers, "properties": {}}).encode()


def _number(message: bytes) -> int:
    return int(json.loads(message)["headers"]["id"].partition("-")[2])
