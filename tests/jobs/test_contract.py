"""The features of a server that the job store relies on: each condition and each form of update, once."""

from collections.abc import Mapping

import pytest
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from tests.jobs.stores import Collection, document

RUN = "0d5f7c1e-7f5e-4e0e-9d43-2a1c5f2d9b11"


async def ids(collection: Collection, condition: Mapping[str, object]) -> set[object]:
    return {found["_id"] async for found in collection.find(condition, {"_id": 1})}


async def test_a_list_of_ids_finds_the_existing_ones_and_a_projection_returns_whole_top_level_fields(
    collection: Collection,
) -> None:
    await collection.insert_many([{"_id": "a", "one": {"two": 2, "three": 3}, "other": 1}, {"_id": "b"}])

    found = await collection.find({"_id": {"$in": ["a", "b", "missing"]}}, {"one": 1}).to_list()

    by_id = {one["_id"]: one for one in found}
    assert by_id == {"a": {"_id": "a", "one": {"two": 2, "three": 3}}, "b": {"_id": "b"}}


async def test_an_empty_list_of_ids_matches_nothing_in_a_query_and_in_an_update(collection: Collection) -> None:
    await collection.insert_one({"_id": "a"})

    assert await collection.find_one({"_id": {"$in": []}}, projection={"_id": 1}) is None
    await collection.update_one({"_id": {"$in": []}}, {"$set": {"queueRecovery.check": True}})

    assert await document(collection, "a") == {"_id": "a"}


async def test_null_in_a_condition_matches_null_and_absent_and_nothing_else(collection: Collection) -> None:
    await collection.insert_many(
        [
            {"_id": "null", "task_id": None},
            {"_id": "absent"},
            {"_id": "empty", "task_id": ""},
            {"_id": "x", "task_id": "x"},
        ]
    )

    assert await ids(collection, {"task_id": None}) == {"null", "absent"}


async def test_conditions_and_values_reach_into_embedded_documents(collection: Collection) -> None:
    await collection.insert_many([{"_id": "a", "job": {"state": "failed"}}, {"_id": "b", "job": {"state": "done"}}])

    await collection.bulk_write(
        [UpdateOne({"_id": name, "job.state": "failed"}, {"$set": {"job.state": "pending"}}) for name in "ab"]
    )

    assert (await document(collection, "a"))["job"] == {"state": "pending"}
    assert (await document(collection, "b"))["job"] == {"state": "done"}


async def test_the_existence_of_a_stamp_can_be_a_condition_even_in_documents_without_any(
    collection: Collection,
) -> None:
    await collection.insert_many(
        [
            {"_id": "none"},
            {"_id": "of another run", "queueRecovery": {"other": {"released": True}}},
            {"_id": "claimed", "queueRecovery": {RUN: {"was": {}, "became": {}}}},
            {"_id": "released", "queueRecovery": {RUN: {"was": {}, "released": True}}},
        ]
    )

    stamp = f"queueRecovery.{RUN}"
    assert await ids(collection, {stamp: {"$exists": False}}) == {"none", "of another run"}
    unreleased = {f"{stamp}.was": {"$exists": True}, f"{stamp}.released": {"$exists": False}}
    assert await ids(collection, unreleased) == {"claimed"}


async def test_a_stamp_is_added_to_the_others_and_is_read_as_it_was_written(collection: Collection) -> None:
    await collection.insert_one({"_id": "a", "queueRecovery": {"other": {"released": True}}})
    stamp = {"was": {"status": "failed", "taskId": None}, "became": {"status": "pending"}, "released": True}

    await collection.bulk_write([UpdateOne({"_id": "a"}, {"$set": {f"queueRecovery.{RUN}": stamp}})])

    assert (await document(collection, "a"))["queueRecovery"] == {"other": {"released": True}, RUN: stamp}


async def test_one_update_sets_fields_and_removes_others(collection: Collection) -> None:
    await collection.insert_one({"_id": "a", "status": "pending", "task_id": "x", "other": 1})

    await collection.bulk_write([UpdateOne({"_id": "a"}, {"$set": {"status": "failed"}, "$unset": {"task_id": ""}})])

    assert await document(collection, "a") == {"_id": "a", "status": "failed", "other": 1}


async def test_an_unordered_bulk_goes_on_after_a_refused_write_and_reports_its_index(
    collection: Collection,
) -> None:
    await collection.create_index("task_id", unique=True)
    await collection.insert_many([{"_id": name, "task_id": name} for name in "abc"])

    with pytest.raises(BulkWriteError) as caught:
        await collection.bulk_write(
            [
                UpdateOne({"_id": "a"}, {"$set": {"task_id": "new"}}),
                UpdateOne({"_id": "b"}, {"$set": {"task_id": "c"}}),
                UpdateOne({"_id": "c"}, {"$set": {"status": "written"}}),
            ],
            ordered=False,
        )

    assert caught.value.details is not None
    assert [(entry["index"], entry["code"]) for entry in caught.value.details["writeErrors"]] == [(1, 11000)]
    assert (await document(collection, "a"))["task_id"] == "new"
    assert (await document(collection, "c"))["status"] == "written"


async def test_a_bulk_of_five_hundred_updates_is_acknowledged_by_a_majority_and_read_back(
    collection: Collection,
) -> None:
    names = [f"{number:03}" for number in range(500)]
    await collection.insert_many([{"_id": name, "status": "failed"} for name in names])
    safe = collection.with_options(write_concern=WriteConcern("majority"), read_concern=ReadConcern("majority"))

    await safe.bulk_write(
        [UpdateOne({"_id": name, "status": "failed"}, {"$set": {"status": "pending"}}) for name in names], ordered=False
    )

    found = await safe.find({"_id": {"$in": names}}, {"status": 1}).to_list()
    assert {(one["_id"], one["status"]) for one in found} == {(name, "pending") for name in names}
