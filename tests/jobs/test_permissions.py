"""The privileges of the operator's user, and the errors without them."""

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.jobs.connecting import connect
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import JobStore
from tests.jobs.stores import (
    FAILED,
    LATER,
    NOW,
    RUN,
    Collection,
    MakeStore,
    application_fields,
    claim,
    looked_up,
    spec,
)
from tests.mongodb import Database


async def test_the_role_in_the_documentation_is_enough_for_a_whole_recovery(
    database: Database, collection: Collection
) -> None:
    await collection.insert_many([{"_id": name, **FAILED} for name in "ab"])
    store = connect(await database.operator_url(collection.name), spec(database.name, collection.name))

    await store.check()
    await looked_up(store, ["a", "b"])
    assert await store.claim(RUN, [claim()], now=NOW) == {"a"}
    await store.settle(RUN, ["a", "b"], now=LATER)

    assert await application_fields(collection, "a") == FAILED
    await store.aclose()


@pytest.mark.parametrize(
    ("granted", "missing"),
    [
        pytest.param(("find",), 'privilege "update" on', id="it may read"),
        pytest.param(("update",), 'privilege "find" on', id="it may update"),
        pytest.param(("insert", "remove"), 'privileges "find" and "update" on', id="it may do neither"),
    ],
)
async def test_the_check_names_every_privilege_that_is_missing_and_the_collection(
    database: Database, collection: Collection, make_store: MakeStore, granted: tuple[str, ...], missing: str
) -> None:
    await collection.insert_one({"_id": "a"})
    store = make_store(await database.operator_url(collection.name, actions=granted))

    with pytest.raises(RecoveryError) as caught:
        await store.check()

    assert caught.value.reason == Reason.JOB_STORE_PERMISSION_DENIED
    assert f'{missing} the collection "{database.name}.{collection.name}". Grant' in caught.value.message


async def test_a_url_without_a_user_has_no_privileges(
    database: Database, make_store: MakeStore, collection: Collection
) -> None:
    hosts = database.url.rpartition("@")[2]

    with pytest.raises(RecoveryError, match="check that the URL names a user") as caught:
        await make_store(f"mongodb://{hosts}").check()

    assert caught.value.reason == Reason.JOB_STORE_PERMISSION_DENIED
    assert collection.name in caught.value.message


async def test_a_privilege_that_is_revoked_after_the_check_is_named_by_the_step_that_needs_it(
    database: Database, collection: Collection, make_store: MakeStore
) -> None:
    await collection.insert_one({"_id": "a", **FAILED})
    store = make_store(await database.operator_url(collection.name, actions=("find",)))

    async def claim_one(store: JobStore) -> None:
        await store.claim(RUN, [claim()], now=NOW)

    async def settle(store: JobStore) -> None:
        await store.settle(RUN, ["a"], now=NOW)

    for step in (claim_one, settle):
        with pytest.raises(RecoveryError, match='privilege "update" on') as caught:
            await step(store)
        assert caught.value.reason == Reason.JOB_STORE_PERMISSION_DENIED
    assert await application_fields(collection, "a") == FAILED
