"""Jobs are enqueued with their markers, with and without a job store, against an application's own ways.

    python -m benchmarks.reenqueue [--jobs 100000] [--peer-jobs 10000] [--store-jobs 20000] [--rounds 3]

The rooms are called directly, in the batches of `recovery/reenqueue.py`, for as many recoveries as the jobs need: each
lists 1,000 at most. The store's own speed is that of bulk writes of the same size, without reading and without
conditions; the store is a sandbox's (`sandbox/job_store.py`), slower than MongoDB, so that what counts is the ratio.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

from celery import Celery
from pymongo import AsyncMongoClient, UpdateOne

from benchmarks.benchmark import Benchmark, Way
from benchmarks.server import QUEUE, Server
from queue_recovery.api.servers import MongoDB, TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.jobs.connecting import connect
from queue_recovery.recovery.ports import Claim, Run, Task
from sandbox.job_store import JobStore
from sandbox.processes import Scope

_BATCH = 500
_RECOVERY = 2
"""Batches of one recovery."""

_TASK = "tts.render"
_DATABASE = "app"


def batches(jobs: int) -> list[list[Task]]:
    """Return jobs as a recovery passes them to the rooms."""
    return [
        [
            Task(key=f"{n}:str:{n}", task_id=str(uuid4()), task=_TASK, args=f'["{n}"]', kwargs="{}")
            for n in range(first, min(jobs, first + _BATCH))
        ]
        for first in range(0, jobs, _BATCH)
    ]


def recoveries(jobs: int) -> list[list[list[Task]]]:
    """Return the batches of each recovery."""
    work = batches(jobs)
    return [work[first : first + _RECOVERY] for first in range(0, len(work), _RECOVERY)]


@asynccontextmanager
async def purged(server: Server) -> AsyncIterator[tuple[RedisBroker, Run]]:
    """Open a run whose queue has been taken."""
    broker = RedisBroker.connect(server.broker.url, TransportOptions())
    run = Run(uid=str(uuid4()), name="bench/reenqueue", cluster="bench", queue=QUEUE)
    await broker.run(run).open()
    await broker.run(run).take()
    yield broker, run
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=False)
    await broker.aclose()


async def operator(server: Server, jobs: int) -> float:
    """Push all jobs; return seconds."""
    seconds = 0.0
    for work in recoveries(jobs):
        async with purged(server) as (broker, run):
            began = time.monotonic()
            for batch in work:
                await broker.run(run).push({run.queue: batch})
            seconds += time.monotonic() - began
    return seconds


async def operator_with_store(server: Server, url: str, collection: str, jobs: int) -> float:
    """Claim and push all jobs; return seconds."""
    spec = MongoDB.model_validate(
        {
            "urlSecretRef": {"name": "mongo", "key": "url"},
            "database": _DATABASE,
            "collection": collection,
            "idType": "String",
        }
    )
    store = connect(url, spec)
    seconds = 0.0
    for work in recoveries(jobs):
        async with purged(server) as (broker, run):
            began = time.monotonic()
            for batch in work:
                claims = [
                    Claim(id=job_id(task), seen_status="failed", seen_task_id="old", task_id=task.task_id)
                    for task in batch
                ]
                ours = await store.claim(run.uid, claims, now=datetime.now(UTC))
                await broker.run(run).push({run.queue: [task for task in batch if job_id(task) in ours]})
                if len(ours) != len(batch):
                    raise RuntimeError(f"{len(ours)} of {len(batch)} jobs were claimed")
            seconds += time.monotonic() - began
    await store.aclose()
    return seconds


async def bulk_writes(url: str, collection: str, jobs: int) -> float:
    """Update all documents in bulk; return seconds."""
    async with AsyncMongoClient[dict[str, object]](url, w="majority") as client:
        documents = client[_DATABASE][collection]
        work = batches(jobs)
        began = time.monotonic()
        for batch in work:
            stamp = {"was": {"status": "failed", "taskId": "old"}, "at": datetime.now(UTC)}
            await documents.bulk_write(
                [
                    UpdateOne(
                        {"_id": job_id(task)},
                        {"$set": {"status": "pending", "task_id": task.task_id, "queueRecovery": {"run": stamp}}},
                    )
                    for task in batch
                ],
                ordered=False,
            )
        return time.monotonic() - began


async def fill(url: str, jobs: int) -> str:
    """Make a collection of failed jobs; return its name."""
    name = f"jobs_{uuid4().hex}"
    async with AsyncMongoClient[dict[str, object]](url) as client:
        for first in range(0, jobs, _BATCH):
            await client[_DATABASE][name].insert_many(
                {"_id": str(n), "status": "failed", "task_id": "old"} for n in range(first, min(jobs, first + _BATCH))
            )
    return name


def job_id(task: Task) -> str:
    """Return the id of a task's job."""
    return task.key.rpartition(":")[2]


def send_tasks(url: str, jobs: int, *, one_producer: bool) -> float:
    """Enqueue by `send_task`, by itself or with one producer for all; return seconds."""
    with Celery(broker=url, set_as_current=False) as app, app.producer_pool.acquire(block=True) as producer:
        shared = {"producer": producer} if one_producer else {}
        began = time.monotonic()
        for n in range(jobs):
            app.send_task(_TASK, args=[str(n)], queue=QUEUE, **shared)
        return time.monotonic() - began


async def measure(jobs: int, peer_jobs: int, store_jobs: int, rounds: int) -> list[Way]:
    """Enqueue in each way in each round."""
    alone = Way("the operator, without a store", "")
    loop, shared = Way("`send_task` in a loop", alone.name), Way("`send_task`, one shared producer", alone.name)
    bulk = Way("the store's bulk writes alone", "")
    stored = Way("the operator, with the store", bulk.name)
    async with Server.open() as server, Scope.open() as scope:
        store = await JobStore.start(scope)
        for _ in range(rounds):
            await server.fill(0, "list")
            alone.note(microseconds=await operator(server, jobs) / jobs * 1e6)
            for way, one_producer in ((loop, False), (shared, True)):
                await server.fill(0, "list")
                seconds = await asyncio.to_thread(send_tasks, server.broker.url, peer_jobs, one_producer=one_producer)
                way.note(microseconds=seconds / peer_jobs * 1e6)
            await server.fill(0, "list")
            collection = await fill(store.url, store_jobs)
            bulk.note(microseconds=await bulk_writes(store.url, collection, store_jobs) / store_jobs * 1e6)
            collection = await fill(store.url, store_jobs)
            seconds = await operator_with_store(server, store.url, collection, store_jobs)
            stored.note(microseconds=seconds / store_jobs * 1e6)
    return [alone, loop, shared, bulk, stored]


BENCHMARK = Benchmark(
    name="reenqueue",
    title="A hundred thousand jobs are enqueued, exactly once",
    aim="10 times as fast as `send_task` without a store; within 2 times of the store's own bulk speed with it.",
    columns={"microseconds": "µs for a job"},
    options={"jobs": 100_000, "peer_jobs": 10_000, "store_jobs": 20_000, "rounds": 3},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
