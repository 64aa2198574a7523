"""A real server, a collection of jobs of its own for each test, and the job store that works on it."""

import os
import uuid
from collections.abc import AsyncIterator

import pytest
from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase

from queue_recovery.jobs.store import connect
from queue_recovery.recovery.ports import JobStore
from sandbox.job_store import JobStore as Server
from sandbox.processes import Scope
from tests.jobs.stores import Collection, MakeStore, spec

NAMED_SERVER = os.environ.get("QUEUE_RECOVERY_TEST_MONGODB_URL")


@pytest.fixture(scope="session", params=["embedded", *(["named"] if NAMED_SERVER else [])])
async def server_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """URL of a server that speaks MongoDB's protocol: the embedded one, and the one that the environment names."""
    if request.param == "named":
        assert NAMED_SERVER is not None
        yield NAMED_SERVER
        return
    async with Scope.open() as scope:
        yield (await Server.start(scope)).url


@pytest.fixture(scope="session")
async def database(server_url: str) -> AsyncIterator[AsyncDatabase[dict[str, object]]]:
    """A database of the tests' own, as seen by the application, that is dropped at the end."""
    name = f"queue_recovery_test_{uuid.uuid4().hex[:12]}"
    async with AsyncMongoClient[dict[str, object]](server_url, w="majority") as client:
        yield client[name]
        await client.drop_database(name)


@pytest.fixture
def collection(database: AsyncDatabase[dict[str, object]]) -> Collection:
    """Return an empty collection."""
    return database[f"jobs_{uuid.uuid4().hex[:12]}"]


@pytest.fixture
async def make_store(server_url: str, collection: Collection) -> AsyncIterator[MakeStore]:
    """Make job stores on the collection."""
    stores: list[JobStore] = []

    def make(**settings: object) -> JobStore:
        stores.append(connect(server_url, spec(collection.database.name, collection.name, **settings)))
        return stores[-1]

    yield make
    for store in stores:
        await store.aclose()


@pytest.fixture
def store(make_store: MakeStore) -> JobStore:
    """Return a job store with the default mapping, on ids that are text."""
    return make_store()
