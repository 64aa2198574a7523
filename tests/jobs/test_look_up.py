"""Read jobs: the forms of ids, the mapped fields, and values that JSON cannot hold."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from bson import Binary, Code, Decimal128, Int64, ObjectId
from bson.binary import UuidRepresentation
from hypothesis import given, settings
from hypothesis import strategies as st

from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import IdType, JobFields
from queue_recovery.jobs import documents
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import JobStore, StoredJob
from tests.jobs.stores import NOW, RUN, Collection, MakeStore, claim, looked_up

OBJECT_ID = "662f1c0e9d3e4b0001a1b2c3"
CALL = JobFields(task="task", args="args", kwargs="kwargs")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=6,
)
ARGS = st.lists(JSON, max_size=4)
KWARGS = st.dictionaries(st.text(), JSON, max_size=4)


@pytest.mark.parametrize(
    ("id_type", "job_id", "fits"),
    [
        ("ObjectId", OBJECT_ID, True),
        ("ObjectId", OBJECT_ID.upper(), False),
        ("ObjectId", OBJECT_ID[:-1], False),
        ("ObjectId", "12-byte text", False),
        ("ObjectId", 662, False),
        ("String", "a", True),
        ("String", OBJECT_ID, True),
        ("String", "1", True),
        ("String", "", False),
        ("String", "\ud800", False),
        ("String", 1, False),
        ("Int", 1, True),
        ("Int", 0, True),
        ("Int", -(2**63), True),
        ("Int", 2**63 - 1, True),
        ("Int", 2**63, False),
        ("Int", "1", False),
        ("Int", True, False),
    ],
)
async def test_an_id_fits_in_the_one_form_of_its_type(
    make_store: MakeStore, id_type: IdType, job_id: str | int, *, fits: bool
) -> None:
    assert make_store(idType=id_type).fits(job_id) is fits


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_integer_that_fits_is_found_again_by_its_text(number: int) -> None:
    assert documents.typed(str(number), "Int") == number


@pytest.mark.parametrize("text", ["01", "+1", " 1", "1_0", "1.0", "-0", "\u0661", "", "a", str(2**63)])
def test_text_that_is_not_a_canonical_integer_is_no_id(text: str) -> None:
    with pytest.raises(ValueError, match=r"idType|invalid literal"):
        documents.typed(text, "Int")


async def test_the_documents_that_exist_are_returned_by_their_ids(store: JobStore, collection: Collection) -> None:
    await collection.insert_many(
        [{"_id": "a", "status": "failed", "task_id": "t", "args": "not mapped"}, {"_id": "b"}, {"_id": "not listed"}]
    )

    assert await looked_up(store, ["a", "b", "missing"]) == {
        "a": StoredJob(id="a", status="failed", task_id="t", task=None, args=None, kwargs=None),
        "b": StoredJob(id="b", status=None, task_id=None, task=None, args=None, kwargs=None),
    }


async def test_without_ids_there_are_no_jobs(store: JobStore) -> None:
    assert await looked_up(store, []) == {}


@pytest.mark.parametrize(
    ("id_type", "job_id", "key_of_another"),
    [
        ("ObjectId", OBJECT_ID, OBJECT_ID),
        ("String", OBJECT_ID, ObjectId(OBJECT_ID)),
        ("Int", "42", "42"),
        ("String", "42", 42),
    ],
)
async def test_an_id_of_another_type_is_another_job(
    make_store: MakeStore, collection: Collection, id_type: str, job_id: str, key_of_another: object
) -> None:
    await collection.insert_one({"_id": key_of_another, "status": "failed"})

    assert await looked_up(make_store(idType=id_type), [job_id]) == {}


async def test_task_and_arguments_are_read_from_the_fields_of_the_target(
    make_store: MakeStore, collection: Collection
) -> None:
    store = make_store(
        fields={"task": "call.name", "args": "call.args", "kwargs": "call.kwargs", "status": "state.now"}
    )
    call = {"name": "tts.render", "args": ["ä", 1.0, 2**53 + 1, None, {"k": [True]}], "kwargs": {"voice": "alto"}}
    await collection.insert_one({"_id": "a", "call": call, "state": {"now": "failed"}})

    job = (await looked_up(store, ["a"]))["a"]

    assert (job.status, job.task) == ("failed", "tts.render")
    assert job.args == '["ä", 1.0, 9007199254740993, null, {"k": [true]}]'
    assert job.kwargs == '{"voice": "alto"}'


async def test_documents_that_json_cannot_hold_are_named_without_their_values(
    make_store: MakeStore, collection: Collection
) -> None:
    secret = ObjectId("662f1c0e9d3e4b0001a1b2c3")
    bad: list[dict[str, object]] = [{"_id": f"bad{number:02}", "args": [secret]} for number in range(12)]
    await collection.insert_many([*bad, {"_id": "good", "args": [1]}])

    with pytest.raises(RecoveryError) as caught:
        await looked_up(make_store(fields={"args": "args"}), ["good", *(f"bad{number:02}" for number in range(12))])

    assert caught.value.reason == Reason.INVALID_ARGUMENTS
    assert "bad03" in caught.value.message
    assert "and 2 more" in caught.value.message
    assert "good" not in caught.value.message
    assert str(secret) not in caught.value.message


@pytest.mark.parametrize(
    "call",
    [
        {"args": [ObjectId("662f1c0e9d3e4b0001a1b2c3")]},
        {"args": [datetime(2026, 1, 1, tzinfo=UTC)]},
        {"args": [b"bytes"]},
        {"args": [Binary(b"bytes", 4)]},
        {"args": [Decimal128("1.0")]},
        {"args": [Code("code")]},
        {"args": [float("nan")]},
        {"args": [{"deep": [float("inf")]}]},
        {"args": {"not": "an array"}},
        {"args": "{}"},
        {"args": "[1"},
        {"args": "[NaN]"},
        {"args": "[" * 100_000},
        {"args": ""},
        {"args": 1},
        {"kwargs": ["not an object"]},
        {"kwargs": "[]"},
        {"kwargs": "null"},
        {"kwargs": {"at": ObjectId("662f1c0e9d3e4b0001a1b2c3")}},
        {"task": 1},
        {"task": ""},
        {"task": Code("tts.render")},
    ],
    ids=lambda call: str(call)[:40],
)
def test_arguments_that_json_cannot_hold_exactly_are_refused(call: dict[str, object]) -> None:
    with pytest.raises(documents.Unreadable):
        documents.stored_job("a", call, CALL)


@settings(max_examples=50, deadline=None)
@given(args=ARGS, kwargs=KWARGS)
def test_arguments_survive_the_conversion_to_text(args: list[object], kwargs: dict[str, object]) -> None:
    job = documents.stored_job("a", {"args": args, "kwargs": kwargs}, CALL)

    assert job.args is not None
    assert job.kwargs is not None
    assert repr(json.loads(job.args)) == repr(args)
    assert repr(json.loads(job.kwargs)) == repr(kwargs)


@settings(max_examples=50, deadline=None)
@given(ARGS)
def test_arguments_that_are_text_already_are_left_as_they_are(args: list[object]) -> None:
    text = json.dumps(args, indent=1)

    assert documents.stored_job("a", {"args": text}, CALL).args == text


def test_a_64_bit_integer_is_an_integer_in_json() -> None:
    assert documents.stored_job("a", {"args": [Int64(2**60)]}, CALL).args == f"[{2**60}]"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (Binary.from_uuid(UUID(int=1)), "Binary"),
        (Binary.from_uuid(UUID(int=1), UuidRepresentation.PYTHON_LEGACY), "Binary"),
        (ObjectId(OBJECT_ID), "ObjectId"),
        (42, "int"),
        (Int64(2**60), "Int64"),
        (Code("code"), "Code"),
        (["old"], "list"),
        ({"id": "old"}, "dict"),
        ("old", None),
        ("", None),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_task_id_that_no_claim_would_match_names_its_type(
    store: JobStore, collection: Collection, value: object, kind: str | None
) -> None:
    await collection.insert_one({"_id": "a", "status": "failed", "task_id": value})

    job = (await looked_up(store, ["a"]))["a"]

    assert job.task_id_type == kind
    seen = claim(status=job.status, seen=job.task_id)
    assert await store.claim(RUN, [seen], now=NOW) == ({"a"} if kind is None else frozenset())


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ({"celery": [{"id": "old"}]}, "inside list"),
        ({"celery": "old"}, "inside str"),
        ({"celery": None}, None),
        ({"celery": {"id": 7}}, "int"),
        ({"celery": {"id": "old"}}, None),
        ({"celery": {}}, None),
        ({}, None),
    ],
)
async def test_a_task_id_inside_a_field_that_is_no_document_names_the_type_of_that_field(
    make_store: MakeStore, collection: Collection, call: dict[str, object], kind: str | None
) -> None:
    await collection.insert_one({"_id": "a", "status": "failed", "call": call})

    job = (await looked_up(make_store(fields={"taskId": "call.celery.id"}), ["a"]))["a"]

    assert job.task_id_type == kind


async def test_a_task_id_that_is_not_mapped_may_be_of_any_type(make_store: MakeStore, collection: Collection) -> None:
    store = make_store(fields={"taskId": ""})
    await collection.insert_one({"_id": "a", "status": "failed", "task_id": 7})

    assert (await looked_up(store, ["a"]))["a"].task_id_type is None
    assert await store.claim(RUN, [claim(seen=None)], now=NOW) == {"a"}


@pytest.mark.parametrize(
    ("value", "shown"), [(3, "<int>"), (True, "<bool>"), ([], "<list>"), (Code("failed"), "<Code>"), (None, None)]
)
def test_a_status_that_is_not_text_shows_its_type_and_not_its_value(value: object, shown: str | None) -> None:
    job = documents.stored_job("a", {"status": value, "task_id": value}, CALL)

    assert job.status == shown
    assert job.task_id == shown
