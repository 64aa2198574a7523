"""What the tests of the job store share."""

from collections.abc import Callable

from pymongo.asynchronous.collection import AsyncCollection

from queue_recovery.api.target import MongoDB
from queue_recovery.recovery.ports import JobStore

Collection = AsyncCollection[dict[str, object]]

MakeStore = Callable[..., JobStore]
"""Makes a job store, with settings as they stand in a target's `jobStore.mongodb`."""


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


async def document(collection: Collection, job_id: object) -> dict[str, object]:
    """Return the whole document of a job."""
    found = await collection.find_one({"_id": job_id})
    assert found is not None
    return found


async def application_fields(collection: Collection, job_id: object) -> dict[str, object]:
    """Return what the application sees of a job: its document without the id and the operator's stamps."""
    found = await document(collection, job_id)
    return {name: value for name, value in found.items() if name not in {"_id", "queueRecovery"}}


async def stamp(collection: Collection, job_id: object, run_uid: str) -> dict[str, object]:
    """Return the stamp of a recovery on a job's document."""
    stamps = (await document(collection, job_id))["queueRecovery"]
    assert isinstance(stamps, dict)
    found = stamps[run_uid]
    assert isinstance(found, dict)
    return found
