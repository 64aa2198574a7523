"""Release jobs that were not enqueued, and refuse claims that arrive late."""

import asyncio

import pytest

from queue_recovery.api.servers import JobFields
from queue_recovery.jobs.claims import claim_write
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


@pytest.mark.parametrize("claimed_first", [True, False])
async def test_a_claim_that_is_under_way_while_its_recovery_finishes_finds_the_job_settled(
    store: JobStore, collection: Collection, *, claimed_first: bool
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    late = claim_write("a", claim(), {"_id": "a", **FAILED}, JobFields(), pending="pending", run_uid=RUN, now=NOW)
    if claimed_first:
        await store.claim(RUN, [claim()], now=NOW)
    await store.settle(RUN, ["a"], now=LATER)

    await collection.bulk_write([late])

    assert await application_fields(collection, "a") == FAILED


async def test_settling_gives_a_claimed_job_its_former_state_back(store: JobStore, collection: Collection) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    await store.claim(RUN, [claim()], now=NOW)

    await store.settle(RUN, ["a"], now=LATER)

    assert await application_fields(collection, "a") == FAILED
    assert (await stamp(collection, "a", RUN))["released"]


@pytest.mark.parametrize(
    "former", [{"status": "failed", "task_id": None}, {"status": "failed", "task_id": ""}, {"status": "failed"}]
)
async def test_a_task_id_that_was_null_or_empty_or_absent_is_so_again(
    store: JobStore, collection: Collection, former: dict[str, object]
) -> None:
    await collection.insert_one({"_id": "a", **former})
    seen = former.get("task_id")
    assert seen is None or isinstance(seen, str)

    assert await store.claim(RUN, [claim(seen=seen)], now=NOW) == {"a"}
    assert await application_fields(collection, "a") == PENDING
    await store.settle(RUN, ["a"], now=LATER)

    assert await application_fields(collection, "a") == former


async def test_settling_again_changes_nothing(store: JobStore, collection: Collection) -> None:
    await collection.insert_many([{"_id": "claimed", **FAILED}, {"_id": "never claimed", **FAILED}])
    await store.claim(RUN, [claim("claimed")], now=NOW)
    await store.settle(RUN, ["claimed", "never claimed"], now=NOW)
    before = await collection.find().to_list()

    await store.settle(RUN, ["claimed", "never claimed"], now=LATER)

    assert await collection.find().to_list() == before


async def test_two_operators_that_settle_at_once_have_the_effect_of_one(
    make_store: MakeStore, collection: Collection
) -> None:
    await collection.insert_many([{"_id": "claimed", **FAILED}, {"_id": "never claimed", **FAILED}])
    one, other = make_store(), make_store()
    await one.claim(RUN, [claim("claimed")], now=NOW)

    await asyncio.gather(*(each.settle(RUN, ["claimed", "never claimed"], now=LATER) for each in (one, other)))

    for name in ("claimed", "never claimed"):
        assert await application_fields(collection, name) == FAILED
        assert (await stamp(collection, name, RUN))["released"]


@pytest.mark.parametrize("claimed_first", [True, False])
async def test_a_claim_that_comes_after_settling_fails_and_leaves_the_job_alone(
    store: JobStore, collection: Collection, *, claimed_first: bool
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    if claimed_first:
        await store.claim(RUN, [claim()], now=NOW)
    await store.settle(RUN, ["a"], now=NOW)

    assert await store.claim(RUN, [claim()], now=LATER) == frozenset()

    assert await application_fields(collection, "a") == FAILED


@pytest.mark.parametrize("now_it_is", [{"status": "processing"}, {"task_id": "retried"}, {"status": "failed"}])
async def test_a_job_that_another_client_changed_after_the_claim_is_only_stamped(
    store: JobStore, collection: Collection, now_it_is: dict[str, object]
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    await store.claim(RUN, [claim()], now=NOW)
    await collection.update_one({"_id": "a"}, {"$set": now_it_is})

    await store.settle(RUN, ["a"], now=LATER)

    assert await application_fields(collection, "a") == {**PENDING, **now_it_is}
    assert (await stamp(collection, "a", RUN))["released"]


async def test_settling_touches_no_job_that_is_not_named_and_no_stamp_of_another_recovery(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_many([{"_id": "pushed", **FAILED}, {"_id": "a", **FAILED}])
    await store.claim(OTHER_RUN, [claim("a", task_id="of another recovery")], now=NOW)
    await store.claim(RUN, [claim("pushed")], now=NOW)
    pushed = await document(collection, "pushed")
    others = await stamp(collection, "a", OTHER_RUN)

    await store.settle(RUN, ["a", "gone from the collection"], now=LATER)

    assert await document(collection, "pushed") == pushed
    assert await stamp(collection, "a", OTHER_RUN) == others
    assert await application_fields(collection, "a") == {"status": "pending", "task_id": "of another recovery"}


async def test_a_later_recovery_may_claim_what_an_earlier_one_has_released(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    await store.claim(RUN, [claim()], now=NOW)
    await store.settle(RUN, ["a"], now=NOW)

    assert await store.claim(OTHER_RUN, [claim(task_id="second")], now=LATER) == {"a"}
