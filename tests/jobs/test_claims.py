"""Claim jobs, exactly once."""

import asyncio

import pytest
from bson import ObjectId

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import JobStore
from tests.jobs.stores import (
    FAILED,
    LATER,
    NOW,
    OTHER_RUN,
    PENDING,
    RUN,
    Collection,
    MakeStore,
    application_fields,
    claim,
    document,
    stamp,
)


async def test_a_claim_writes_status_and_task_id_and_remembers_the_former_ones(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "a", **FAILED, "other": 1})

    assert await store.claim(RUN, [claim()], now=NOW) == {"a"}

    assert await application_fields(collection, "a") == {**PENDING, "other": 1}
    assert (await stamp(collection, "a", RUN))["was"] == {"status": "failed", "taskId": "old"}


async def test_a_claim_that_is_sent_again_is_still_ours_and_changes_nothing(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    await store.claim(RUN, [claim()], now=NOW)
    before = await document(collection, "a")

    assert await store.claim(RUN, [claim()], now=LATER) == {"a"}

    assert await document(collection, "a") == before


async def test_a_claimed_job_stays_ours_when_the_application_has_moved_on_with_it(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    await store.claim(RUN, [claim()], now=NOW)
    await collection.update_one({"_id": "a"}, {"$set": {"status": "processing"}})

    assert await store.claim(RUN, [claim()], now=LATER) == {"a"}

    assert await application_fields(collection, "a") == {"status": "processing", "task_id": "new"}


async def test_a_document_that_was_claimed_with_another_task_id_is_not_ours(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    await store.claim(RUN, [claim(task_id="of the same job under another key")], now=NOW)

    assert await store.claim(RUN, [claim()], now=LATER) == frozenset()


@pytest.mark.parametrize(
    "found",
    [
        pytest.param({"status": "done", "task_id": "old"}, id="it is done"),
        pytest.param({"status": "failed", "task_id": "retried"}, id="another client has enqueued it"),
        pytest.param({"status": "failed"}, id="its task id is gone"),
        pytest.param({"task_id": "old"}, id="its status is gone"),
        pytest.param({"status": 3, "task_id": "old"}, id="its status is not text any more"),
    ],
)
async def test_a_job_that_has_changed_since_it_was_seen_is_not_claimed(
    store: JobStore, collection: Collection, found: dict[str, object]
) -> None:
    await collection.insert_one({"_id": "a", **found})

    assert await store.claim(RUN, [claim()], now=NOW) == frozenset()

    assert await application_fields(collection, "a") == found


async def test_a_job_without_a_document_is_not_claimed_and_no_document_is_created(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "b", **FAILED})

    assert await store.claim(RUN, [claim("a"), claim("b")], now=NOW) == {"b"}

    assert await collection.find_one({"_id": "a"}) is None


async def test_of_two_recoveries_that_saw_the_same_only_one_gets_the_job(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})

    first = await store.claim(RUN, [claim()], now=NOW)
    second = await store.claim(OTHER_RUN, [claim(task_id="of the second")], now=NOW)

    assert first == {"a"}
    assert second == frozenset()
    assert await application_fields(collection, "a") == PENDING


async def test_of_two_recoveries_that_claim_at_the_same_moment_only_one_gets_each_job(
    make_store: MakeStore, collection: Collection
) -> None:
    names = [f"{number:03}" for number in range(100)]
    await collection.insert_many([{"_id": name, **FAILED} for name in names])
    one, other = make_store(), make_store()

    first, second = await asyncio.gather(
        one.claim(RUN, [claim(name) for name in names], now=NOW),
        other.claim(OTHER_RUN, [claim(name, task_id="of the other") for name in names], now=NOW),
    )

    assert first | second == set(names)
    assert first & second == frozenset()


@pytest.mark.thorough
async def test_many_jobs_are_claimed_and_settled_in_one_call_each(store: JobStore, collection: Collection) -> None:
    names = [f"{number:04}" for number in range(1000)]
    await collection.insert_many([{"_id": name, **FAILED} for name in names])

    assert await store.claim(RUN, [claim(name) for name in names], now=NOW) == set(names)
    assert await collection.count_documents(PENDING) == 1000
    await store.settle(RUN, names, now=LATER)

    assert await collection.count_documents(FAILED) == 1000


async def test_a_task_id_that_is_not_in_the_document_is_neither_compared_nor_written(
    make_store: MakeStore, collection: Collection
) -> None:
    store = make_store(fields={"taskId": ""})
    await collection.insert_one({"_id": "a", "status": "failed", "task_id": "the application's own"})

    assert await store.claim(RUN, [claim(seen=None)], now=NOW) == {"a"}
    assert await application_fields(collection, "a") == {"status": "pending", "task_id": "the application's own"}
    await store.settle(RUN, ["a"], now=LATER)

    assert await application_fields(collection, "a") == {"status": "failed", "task_id": "the application's own"}


async def test_fields_and_statuses_are_those_of_the_target(make_store: MakeStore, collection: Collection) -> None:
    store = make_store(
        fields={"status": "job.state", "taskId": "job.celery.id"},
        statuses={"pending": "QUEUED", "recoverable": ["BAD"]},
    )
    former: dict[str, object] = {"job": {"state": "BAD", "celery": {"id": "old"}, "other": [1]}}
    await collection.insert_one({"_id": "a", **former})

    assert await store.claim(RUN, [claim(status="BAD")], now=NOW) == {"a"}
    assert await application_fields(collection, "a") == {
        "job": {"state": "QUEUED", "celery": {"id": "new"}, "other": [1]}
    }
    await store.settle(RUN, ["a"], now=LATER)

    assert await application_fields(collection, "a") == former


@pytest.mark.parametrize(
    ("id_type", "key", "text"),
    [
        ("ObjectId", ObjectId("662f1c0e9d3e4b0001a1b2c3"), "662f1c0e9d3e4b0001a1b2c3"),
        ("Int", 2**53 + 1, str(2**53 + 1)),
        ("Int", -7, "-7"),
        ("String", "662f1c0e9d3e4b0001a1b2c3", "662f1c0e9d3e4b0001a1b2c3"),
    ],
)
async def test_an_id_is_looked_up_with_the_targets_id_type(
    make_store: MakeStore, collection: Collection, id_type: str, key: object, text: str
) -> None:
    store = make_store(idType=id_type)
    await collection.insert_one({"_id": key, **FAILED})

    assert await store.claim(RUN, [claim(text)], now=NOW) == {text}
    assert await application_fields(collection, key) == PENDING
    await store.settle(RUN, [text], now=LATER)

    assert await application_fields(collection, key) == FAILED


async def test_documents_that_refuse_a_claim_are_named_and_the_others_claimed(
    store: JobStore, collection: Collection
) -> None:
    await collection.create_index("task_id", unique=True)
    await collection.insert_many(
        [{"_id": "a", **FAILED}, {"_id": "b", "status": "failed", "task_id": "b"}, {"_id": "c", "task_id": "taken"}]
    )

    with pytest.raises(RecoveryError, match=r'documents of "a" \(code 11000\)') as caught:
        await store.claim(RUN, [claim("a", task_id="taken"), claim("b", seen="b")], now=NOW)

    assert caught.value.reason == Reason.JOB_STORE_WRITE_REFUSED
    assert await application_fields(collection, "a") == FAILED
    assert await application_fields(collection, "b") == PENDING
