"""Documents that do not fit into the operator's memory, together or alone."""

from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api.reasons import Reason
from queue_recovery.jobs.reading import MAX_READ_BYTES, batches_by_size
from queue_recovery.recovery.errors import RecoveryError
from tests.jobs.scripted_server import Command, Reply, scripted
from tests.jobs.stores import FAILED, NOW, RUN, Collection, MakeStore, claim, looked_up, stamp
from tests.memory import LIMIT_MIB, peak_of

pytestmark = pytest.mark.thorough

KIB = 1024


def holding(size: int) -> Callable[[str, Command], Reply]:
    """Answer as a server that has every job, with arguments of this size.

    The embedded server stops answering after some hundred megabytes of writes.
    """
    args = ["x" * size]

    def reply(name: str, command: Command) -> Reply:
        if name != "find":
            return {"ok": 1, "n": 0, "nModified": 0}
        keys = cast("dict[str, dict[str, list[object]]]", command["filter"])["_id"]["$in"]
        asked = cast("dict[str, object]", command["projection"])
        fields: Reply = {"size": size} if "size" in asked else {**FAILED, "args": args}
        batch = [{"_id": key, **fields} for key in keys]
        return {"ok": 1, "cursor": {"id": 0, "ns": "app.jobs", "firstBatch": batch}}

    return reply


async def test_documents_of_7_mib_are_named_and_not_read() -> None:
    async with scripted(holding(7 * KIB * KIB)) as server:
        peak = await peak_of("tests.jobs.peak", server.url, "app", "jobs", "30")

    assert str(peak.found).startswith('the mapped fields in the documents of "0000", "0001", ')
    assert f"take more than {MAX_READ_BYTES} bytes each" in str(peak.found)
    assert peak.mib < LIMIT_MIB


async def test_many_documents_of_400_kib_are_read_one_by_one() -> None:
    async with scripted(holding(400 * KIB)) as server:
        peak = await peak_of("tests.jobs.peak", server.url, "app", "jobs", "500")

    assert peak.found == 500 * (400 * KIB + 4)
    # All documents together take about 200 MB.
    assert peak.mib < LIMIT_MIB / 2


@pytest.mark.parametrize("more", [0, 1])
async def test_a_document_is_read_if_its_mapped_fields_fit(
    make_store: MakeStore, collection: Collection, more: int
) -> None:
    # BSON adds to the measured object its length and end, and for each of three fields a type, a name, a length and an
    # end.
    overhead = 5 + 2 * (1 + 2 + 4 + 1) + (1 + 2 + 4 + 1) + len("failed") + len("old")
    args = '["' + "x" * (MAX_READ_BYTES - overhead - 4 + more) + '"]'
    await collection.insert_one({"_id": "a", **FAILED, "args": args, "other": "x" * MAX_READ_BYTES})
    await collection.insert_one({"_id": "b", **FAILED, "args": []})
    store = make_store(fields={"args": "args"})

    if more:
        with pytest.raises(RecoveryError) as raised:
            await looked_up(store, ["a", "b"])
        assert raised.value.reason == Reason.INVALID_ARGUMENTS
        assert ' documents of "a" take ' in raised.value.message
    else:
        assert set(await looked_up(store, ["a", "b"])) == {"a", "b"}


@pytest.mark.parametrize(("letter", "most"), [("x", 1024), ("é", 512), ("\n", 512)])
@pytest.mark.parametrize("field", ["status", "task_id"])
async def test_a_very_long_status_or_task_id_is_refused_by_name(
    make_store: MakeStore, collection: Collection, field: str, letter: str, most: int
) -> None:
    await collection.insert_one({"_id": "short", **FAILED, field: letter * most})
    await collection.insert_one({"_id": "long", **FAILED, field: letter * (most + 1)})

    with pytest.raises(RecoveryError, match="long"):
        await looked_up(make_store(), ["short", "long"])
    assert set(await looked_up(make_store(), ["short"])) == {"short"}


async def test_a_claim_is_found_again_beside_a_forged_stamp_of_any_size(
    make_store: MakeStore, collection: Collection
) -> None:
    await collection.insert_one({"_id": "a", **FAILED, "queueRecovery": {"forged": "x" * 4 * KIB * KIB}})

    assert await make_store().claim(RUN, [claim()], now=NOW) == {"a"}
    assert await make_store().claim(RUN, [claim()], now=NOW) == {"a"}
    assert (await stamp(collection, "a", RUN))["became"] == {"status": "pending", "taskId": "new"}


async def test_a_server_that_answers_with_30_mb_of_structure_costs_no_memory() -> None:
    answer: list[dict[str, object]] = [{"_id": "0000", "size": 1, "args": [{}] * 2_500_000}]

    def reply(name: str, _command: Command) -> Reply:
        if name == "find":
            return {"ok": 1, "cursor": {"id": 0, "ns": "app.jobs", "firstBatch": answer}}
        return {"ok": 1, "n": 0, "nModified": 0}

    async with scripted(reply) as server:
        peak = await peak_of("tests.jobs.peak", server.url, "app", "jobs", "1")

    assert str(peak.found).startswith("the job store's reply is too large")
    assert peak.mib < LIMIT_MIB


@given(st.dictionaries(st.integers(), st.integers(0, 2 * MAX_READ_BYTES), max_size=30))
def test_a_batch_is_within_the_limit_unless_it_is_one_document(sizes: dict[int, int]) -> None:
    cut = list(batches_by_size(sizes))

    assert [key for batch in cut for key in batch] == list(sizes)
    assert all(batch for batch in cut)
    assert all(sum(sizes[key] for key in batch) <= MAX_READ_BYTES or len(batch) == 1 for batch in cut)
