"""Shared by the tests of the job store: specs, claims, and the documents as the application sees them."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from pymongo.asynchronous.collection import AsyncCollection

from queue_recovery.api.servers import MongoDB
from queue_recovery.jobs.connecting import Timeouts, connect
from queue_recovery.jobs.store import MongoJobStore
from queue_recovery.recovery.certificates import Certificates
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.recovery.ports import Claim, JobStore, StoredJob

Collection = AsyncCollection[dict[str, object]]

MakeStore = Callable[..., JobStore]
"""Makes a job store with the given fields of a target's `jobStore.mongodb`."""

RUN = "0d5f7c1e-7f5e-4e0e-9d43-2a1c5f2d9b11"
OTHER_RUN = "9b1a4a0e-02c7-4d52-8f5f-61f0a3c0c7aa"
NOW = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)
LATER = datetime(2026, 5, 1, 3, 5, tzinfo=UTC)

FAILED: dict[str, object] = {"status": "failed", "task_id": "old"}
PENDING: dict[str, object] = {"status": "pending", "task_id": "new"}


def spec(database: str, collection: str, **settings: object) -> MongoDB:
    """Describe a collection as a target does."""
    return MongoDB.model_validate(
        {
            "urlSecretRef": {"name": "mongo", "key": "url"},
            "database": database,
            "collection": collection,
            "idType": "String",
            **settings,
        }
    )


@asynccontextmanager
async def connected(
    url: str,
    *,
    certificates: Certificates | None = None,
    destinations: Destinations = ANYWHERE,
    timeouts: Timeouts | None = None,
) -> AsyncIterator[MongoJobStore]:
    """Connect to the collection `app.jobs` of a server, and disconnect afterwards."""
    store = connect(url, spec("app", "jobs"), certificates=certificates, destinations=destinations, timeouts=timeouts)
    try:
        yield store
    finally:
        await store.aclose()


def claim(job_id: str = "a", *, status: str | None = "failed", seen: str | None = "old", task_id: str = "new") -> Claim:
    return Claim(id=job_id, seen_status=status, seen_task_id=seen, task_id=task_id)


async def looked_up(store: JobStore, ids: Sequence[str]) -> dict[str, StoredJob]:
    """Return all jobs that exist, by id."""
    return {job.id: job async for job in store.look_up(ids)}


# Without the field that fills a document up: no client of this process reads messages of that size.
async def document(collection: Collection, job_id: object) -> dict[str, object]:
    """Return the whole document of a job."""
    found = await collection.find_one({"_id": job_id}, {"sound": 0})
    assert found is not None
    return found


async def application_fields(collection: Collection, job_id: object) -> dict[str, object]:
    """Return a job's document without its id and the operator's stamps."""
    found = await document(collection, job_id)
    return {name: value for name, value in found.items() if name not in {"_id", "queueRecovery"}}


async def stamp(collection: Collection, job_id: object, run_uid: str) -> dict[str, object]:
    """Return the stamp of a recovery on a job's document."""
    stamps = (await document(collection, job_id))["queueRecovery"]
    assert isinstance(stamps, dict)
    found = stamps[run_uid]
    assert isinstance(found, dict)
    return found
