"""A real server, and for each test a collection of jobs and a job store on it."""

import uuid
from collections.abc import AsyncIterator
from functools import partial

import pytest
from pymongo import AsyncMongoClient

from queue_recovery.jobs.connecting import connect
from queue_recovery.recovery.ports import JobStore
from sandbox.job_store import JobStore as Server
from sandbox.processes import Scope
from tests.jobs.stores import Collection, MakeStore, spec
from tests.mongodb import Database, open_database


@pytest.fixture(scope="session")
async def database() -> AsyncIterator[Database]:
    """Create a database for the tests."""
    async with Scope.open() as scope, open_database(partial(Server.start, scope, authentication=True)) as opened:
        yield opened


@pytest.fixture(scope="session")
async def operator_url(database: Database) -> str:
    """Return the URL of a user with the operator's privileges only."""
    return await database.operator_url()


@pytest.fixture(scope="session")
async def application(database: Database) -> AsyncIterator[AsyncMongoClient[dict[str, object]]]:
    """Return the application's client."""
    async with AsyncMongoClient[dict[str, object]](database.url, w="majority") as client:
        yield client


@pytest.fixture
def collection(database: Database, application: AsyncMongoClient[dict[str, object]]) -> Collection:
    """Return an empty collection, as seen by the application."""
    return application[database.name][f"jobs_{uuid.uuid4().hex[:12]}"]


@pytest.fixture
async def make_store(operator_url: str, collection: Collection) -> AsyncIterator[MakeStore]:
    """Return a factory of job stores on the collection; by default with the operator's user."""
    stores: list[JobStore] = []

    def make(url: str = operator_url, /, **settings: object) -> JobStore:
        stores.append(connect(url, spec(collection.database.name, collection.name, **settings)))
        return stores[-1]

    yield make
    for store in stores:
        await store.aclose()


@pytest.fixture
def store(make_store: MakeStore) -> JobStore:
    """Return a job store with the default mapping, for ids of type String."""
    return make_store()
