"""The example application as the demo reads it: its jobs, executions, mails and messages."""

from __future__ import annotations

import json
import secrets
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from bson import ObjectId
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from sandbox.job_store import add_user

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from pymongo.asynchronous.database import AsyncDatabase

    from sandbox.job_store import JobStore

_DATABASE: Final = "app"


@dataclass(frozen=True)
class Job:
    """A document of `jobs`."""

    id: str
    status: str
    task_id: str
    error: str


@dataclass(frozen=True)
class Execution:
    """A document of `executions`: one run of a job's task. They are sorted by start."""

    job: str
    task_id: str
    pod: str
    outcome: str | None
    """`done`, the type of the exception, or None while the task is running."""


async def application_url(store: JobStore) -> str:
    """Create the application's user in a job store; return its URL."""
    return await add_user(store.url, "app", secrets.token_urlsafe(9), database=_DATABASE, roles=["readWrite"])


class Application:
    """The application's data in MongoDB and its messages in Redis."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], redis: Redis) -> None:
        self._database = database
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def connect(cls, mongo_url: str, redis_url: str) -> AsyncIterator[Self]:
        """Connect to both servers, and disconnect afterwards."""
        client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo_url)
        async with client, Redis.from_url(redis_url) as redis:
            yield cls(client[_DATABASE], redis)

    async def jobs(self, ids: Sequence[str]) -> list[Job]:
        """Return the jobs of these ids that exist, in this order."""
        found = self._database.jobs.find({"_id": {"$in": [ObjectId(one) for one in ids]}})
        jobs = {
            str(job["_id"]): Job(str(job["_id"]), job["status"], job["task_id"], job.get("error", ""))
            async for job in found
        }
        return [jobs[one] for one in ids if one in jobs]

    async def executions(self, ids: Sequence[str]) -> list[Execution]:
        """Return all executions of these jobs so far, oldest first."""
        found = self._database.executions.find({"job": {"$in": [ObjectId(one) for one in ids]}}).sort("at", 1)
        return [Execution(str(one["job"]), one["task_id"], one["pod"], one.get("outcome")) async for one in found]

    async def set_pending(self, job: str) -> None:
        """Reset a job's status, as a user would who expects that to be enough."""
        await self._database.jobs.update_one({"_id": ObjectId(job)}, {"$set": {"status": "pending"}})

    async def mails_sent(self) -> set[int]:
        """Return the numbers of the mails that were sent."""
        return {mail["_id"] async for mail in self._database.mails.find({})}

    async def deliveries(self) -> Counter[int]:
        """Return how often each mail was delivered."""
        return Counter([delivery["mail"] async for delivery in self._database.deliveries.find({})])

    async def waiting(self, queue: str) -> int:
        """Return how many messages are in a queue's list."""
        return int(await self._redis.llen(queue))

    async def held(self) -> Counter[str]:
        """Return how many messages are in `unacked`, by routing key, which is the queue here."""
        entries = await self._redis.hvals("unacked")
        return Counter(json.loads(entry)[2] for entry in entries)

    async def quarantined(self, name: str) -> int:
        """Return how many messages are in the lists and hashes of a quarantine."""
        keys = [key async for key in self._redis.scan_iter(f"{name}:*")]
        kinds = [await self._redis.type(key) for key in keys]
        lists = [await self._redis.llen(key) for key, kind in zip(keys, kinds, strict=True) if kind == b"list"]
        hashes = [await self._redis.hlen(key) for key, kind in zip(keys, kinds, strict=True) if kind == b"hash"]
        return sum(lists) + sum(hashes)
