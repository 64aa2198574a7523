"""The error of a job is read from its document apart from all else, and a huge one costs nothing but itself."""

import pytest

from queue_recovery.jobs.reading import MAX_READ_BYTES
from queue_recovery.recovery.ports import JobStore
from tests.jobs.stores import Collection, MakeStore, looked_up


async def read(store: JobStore, *ids: str) -> dict[str, str]:
    return {job_id: failure.exception async for job_id, failure in store.errors(ids)}


@pytest.fixture
def mapped(make_store: MakeStore) -> JobStore:
    return make_store(idType="String", fields={"error": "last.error"})


async def test_errors_are_found_in_the_field_that_the_target_maps(mapped: JobStore, collection: Collection) -> None:
    await collection.insert_many(
        [
            {"_id": "text", "last": {"error": "TypeError: no"}},
            {"_id": "object", "last": {"error": {"type": "KeyError", "message": "a"}}},
            {"_id": "other", "last": {"error": 5}},
            {"_id": "absent", "last": "no object"},
        ]
    )

    assert await read(mapped, "text", "object", "other", "absent", "none") == {
        "text": "TypeError",
        "object": "KeyError",
    }


async def test_one_that_is_too_large_is_left_out_and_hinders_no_job(mapped: JobStore, collection: Collection) -> None:
    await collection.insert_many(
        [
            {"_id": "huge", "status": "failed", "last": {"error": "TypeError: " + "x" * MAX_READ_BYTES}},
            {"_id": "small", "status": "failed", "last": {"error": "TypeError: x"}},
        ]
    )

    assert await read(mapped, "huge", "small") == {"small": "TypeError"}
    assert sorted(await looked_up(mapped, ["huge", "small"])) == ["huge", "small"]
