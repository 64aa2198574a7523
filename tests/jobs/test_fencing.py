"""Find the jobs that were never claimed, and so never enqueued, if the broker has lost its records."""

from queue_recovery.recovery.ports import JobStore
from tests.jobs.stores import LATER, NOW, RUN, Collection, MakeStore, claim


async def test_a_job_that_was_never_claimed_is_returned_and_cannot_be_claimed_any_more(
    store: JobStore, collection: Collection
) -> None:
    await collection.insert_many([{"_id": name, "status": "failed", "task_id": "old"} for name in ("a", "b")])
    await store.claim(RUN, [claim("a", task_id="new")], now=NOW)

    assert await store.fence(RUN, {"a": "new", "b": "newer", "gone": "newest"}, now=LATER) == {"b"}

    assert await store.claim(RUN, [claim("b", task_id="newer")], now=LATER) == frozenset()
    assert await store.fence(RUN, {"a": "new", "b": "newer"}, now=LATER) == {"b"}


async def test_a_document_without_stamp_but_with_the_task_id_of_the_claim_counts_as_claimed(
    store: JobStore, collection: Collection
) -> None:
    """An application that saves whole documents drops fields that its model does not know."""
    await collection.insert_one({"_id": "a", "status": "failed", "task_id": "old"})
    await store.claim(RUN, [claim("a", task_id="new")], now=NOW)
    await collection.replace_one({"_id": "a"}, {"status": "running", "task_id": "new"})

    assert await store.fence(RUN, {"a": "new"}, now=LATER) == frozenset()


async def test_if_the_task_id_is_not_mapped_the_stamp_alone_decides(
    make_store: MakeStore, collection: Collection
) -> None:
    store = make_store(fields={"taskId": ""})
    await collection.insert_many([{"_id": name, "status": "failed"} for name in ("a", "b")])
    await store.claim(RUN, [claim("a", seen=None)], now=NOW)

    assert await store.fence(RUN, {"a": "new", "b": "newer"}, now=LATER) == {"b"}
