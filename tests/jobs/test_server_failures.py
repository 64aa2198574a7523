"""A server that fails during a write, or is killed after one: a claim that is sent again is no second claim.

The server is always an embedded one: a user's server must not be killed, nor made to fail (`failCommand`).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, TypeVar

import pytest
from pymongo import AsyncMongoClient

from queue_recovery.api.reasons import Reason
from queue_recovery.jobs.connecting import Timeouts, connect
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import JobStore
from sandbox.job_store import JobStore as Server
from sandbox.processes import Scope, until
from tests.jobs.stores import (
    FAILED,
    LATER,
    NOW,
    OTHER_RUN,
    PENDING,
    RUN,
    Collection,
    application_fields,
    claim,
    document,
    looked_up,
    spec,
    stamp,
)
from tests.mongodb import FAULTS, accept_updates, fail_updates

T = TypeVar("T")

SECRET = "s3cret-payload"
WRITES_OF_SETTLE: Final = ("fence", "revert", "release")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[Server]:
    async with Scope.open() as scope:
        yield await Server.start(scope)


@pytest.fixture(scope="module")
async def client(server: Server) -> AsyncIterator[AsyncMongoClient[dict[str, object]]]:
    async with AsyncMongoClient[dict[str, object]](server.url, w="majority") as opened:
        yield opened


@pytest.fixture
async def collection(client: AsyncMongoClient[dict[str, object]]) -> AsyncIterator[Collection]:
    jobs = client["app"]["jobs"]
    yield jobs
    await jobs.drop()


@pytest.fixture
async def store(server: Server, collection: Collection) -> AsyncIterator[JobStore]:
    # After a real failover MongoDB notifies the driver at once; after a simulated one the next heartbeat finds out.
    made = connect(server.url, spec("app", collection.name), timeouts=Timeouts(heartbeat=500))
    yield made
    await made.aclose()


async def again(write: Callable[[], Awaitable[T]]) -> T:
    """Send a write until the server accepts it; the driver has to find the primary."""

    async def sent() -> tuple[T] | None:
        try:
            return (await write(),)
        except RecoveryError:
            return None

    (answer,) = await until(sent, "the server to accept the write")
    return answer


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failed_claim_that_is_sent_again_is_ours_and_no_other_recoverys(
    server: Server, store: JobStore, collection: Collection, fault: str
) -> None:
    await collection.insert_many([{"_id": name, **FAILED} for name in "ab"])
    await fail_updates(server.url, fault)

    with pytest.raises(RecoveryError) as caught:
        await store.claim(RUN, [claim("a"), claim("b")], now=NOW)
    await accept_updates(server.url)

    assert caught.value.reason == Reason.JOB_STORE_UNAVAILABLE
    assert SECRET not in caught.value.message
    assert await again(lambda: store.claim(RUN, [claim("a"), claim("b")], now=LATER)) == {"a", "b"}
    assert await store.claim(OTHER_RUN, [claim("a", task_id="other")], now=LATER) == frozenset()
    assert await application_fields(collection, "a") == PENDING
    assert (await stamp(collection, "a", RUN))["was"] == {"status": "failed", "taskId": "old"}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("write", WRITES_OF_SETTLE)
async def test_jobs_are_settled_by_a_second_call_no_matter_at_which_write_the_first_failed(
    server: Server, store: JobStore, collection: Collection, fault: str, write: str
) -> None:
    await collection.insert_many([{"_id": name, **FAILED} for name in ("never", "claimed", "changed")])
    await store.claim(RUN, [claim("claimed"), claim("changed")], now=NOW)
    await collection.update_one({"_id": "changed"}, {"$set": {"status": "processing"}})
    await fail_updates(server.url, fault, skip=WRITES_OF_SETTLE.index(write))

    with pytest.raises(RecoveryError, match="JobStore"):
        await store.settle(RUN, ["never", "claimed", "changed"], now=NOW)
    await accept_updates(server.url)
    await again(lambda: store.settle(RUN, ["never", "claimed", "changed"], now=LATER))

    assert await application_fields(collection, "never") == FAILED
    assert await application_fields(collection, "claimed") == FAILED
    assert await application_fields(collection, "changed") == {"status": "processing", "task_id": "new"}
    assert await store.claim(RUN, [claim(name) for name in ("never", "claimed", "changed")], now=LATER) == frozenset()


async def test_a_claim_survives_a_server_that_is_killed_right_after_it(
    server: Server, store: JobStore, collection: Collection
) -> None:
    names = [f"{number:03}" for number in range(100)]
    await collection.insert_many([{"_id": name, **FAILED} for name in names])
    assert await store.claim(RUN, [claim(name) for name in names], now=NOW) == set(names)
    before = await document(collection, names[-1])

    await server.kill()
    with pytest.raises(RecoveryError, match="JobStore"):
        await looked_up(store, names)
    await server.restart()

    assert await store.claim(RUN, [claim(name) for name in names], now=LATER) == set(names)
    assert await store.claim(OTHER_RUN, [claim(name, task_id="other") for name in names], now=LATER) == frozenset()
    assert await document(collection, names[-1]) == before
