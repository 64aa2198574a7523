"""Collections whose own rules refuse a claim, or change its meaning."""

from collections.abc import Awaitable, Callable

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import JobStore
from tests.jobs.stores import FAILED, LATER, NOW, PENDING, RUN, Collection, application_fields, claim, looked_up

SECRET = "s3cret-payload"
JOB: dict[str, object] = {**FAILED, "text": SECRET}
MAX_BYTES = 16 * 1024 * 1024


async def forbid_the_stamp(collection: Collection) -> None:
    await collection.insert_one({"_id": "a", **JOB})
    validator = {"$jsonSchema": {"properties": {"queueRecovery": {"bsonType": "null"}}}}
    await collection.database.command("collMod", collection.name, validator=validator)


async def forbid_the_status(collection: Collection) -> None:
    await collection.insert_one({"_id": "a", **JOB})
    validator = {"status": {"$in": ["failed", "done"]}}
    await collection.database.command("collMod", collection.name, validator=validator)


async def allow_one_pending_job(collection: Collection) -> None:
    await collection.create_index("status", unique=True)
    await collection.insert_many([{"_id": "a", **JOB}, {"_id": "b", "status": "pending", "task_id": "theirs"}])


async def fill_the_document(collection: Collection) -> None:
    await collection.insert_one({"_id": "a", **JOB, "sound": b"\0" * (MAX_BYTES - 150)})


Rule = Callable[[Collection], Awaitable[None]]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (forbid_the_stamp, 121),
        (forbid_the_status, 121),
        (allow_one_pending_job, 11000),
        # 17419 in older servers.
        (fill_the_document, 10334),
    ],
)
async def test_a_claim_that_a_rule_refuses_changes_nothing_and_names_the_job_without_its_content(
    store: JobStore, collection: Collection, rule: Rule, code: int
) -> None:
    await rule(collection)
    before = await application_fields(collection, "a")

    with pytest.raises(RecoveryError, match=rf'documents of "a" \(code {code}\)') as caught:
        await store.claim(RUN, [claim(), claim("gone meanwhile")], now=NOW)
    await store.settle(RUN, ["a", "gone meanwhile"], now=LATER)

    assert caught.value.reason == Reason.JOB_STORE_WRITE_REFUSED
    assert SECRET not in caught.value.message
    assert await application_fields(collection, "a") == before


async def test_jobs_of_a_capped_collection_are_claimed_unless_it_has_dropped_them(
    store: JobStore, collection: Collection
) -> None:
    await collection.database.create_collection(collection.name, capped=True, size=100_000, max=2)
    for name in "abc":
        await collection.insert_one({"_id": name, **FAILED})

    assert await store.claim(RUN, [claim(name) for name in "abc"], now=NOW) == {"b", "c"}


async def test_under_a_collation_only_the_exact_id_is_found_and_a_claim_reports_its_result(
    store: JobStore, collection: Collection
) -> None:
    await collection.database.create_collection(collection.name, collation={"locale": "en", "strength": 2})
    await collection.insert_many([{"_id": "A", **FAILED}, {"_id": "b", **FAILED}, {"_id": "c", **FAILED}])
    await collection.update_one({"_id": "b"}, {"$set": {"status": "FAILED"}})
    await collection.update_one({"_id": "c"}, {"$set": {"status": "done"}})

    assert set(await looked_up(store, ["a", "b", "c"])) == {"b", "c"}
    ours = await store.claim(RUN, [claim("b"), claim("c")], now=NOW)

    # MongoDB takes "FAILED" for "failed" here; the embedded server has no default collations.
    assert ours == ({"b"} if await application_fields(collection, "b") == PENDING else frozenset())
    assert (await application_fields(collection, "c"))["status"] == "done"
