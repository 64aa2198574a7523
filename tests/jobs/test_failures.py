"""Errors of MongoDB as a recovery gets them, without any text of the server."""

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import bson
import pytest
from bson.datetime_ms import DatetimeMS
from bson.raw_bson import RawBSONDocument

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.jobs.connecting import connect
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Claim, JobStore
from sandbox.processes import free_port
from tests.jobs.scripted_server import Command, Reply, ScriptedServer, scripted
from tests.jobs.stores import connected, looked_up, spec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RUN = "0d5f7c1e-7f5e-4e0e-9d43-2a1c5f2d9b11"
NOW = datetime(2026, 5, 1, 3, 0, tzinfo=UTC)
OK: Reply = {"ok": 1, "n": 0, "nModified": 0}
SECRET = "s3cret-payload"


@asynccontextmanager
async def store_on(
    reply: Callable[[str, Command], Reply], *, user: str = "", options: str = ""
) -> "AsyncIterator[tuple[JobStore, ScriptedServer]]":
    async with scripted(reply) as server, connected(server.url.replace("://", f"://{user}") + options) as store:
        yield store, server


def failing(code: int) -> Callable[[str, Command], Reply]:
    return lambda _name, _command: {"ok": 0, "code": code, "codeName": "SomeError", "errmsg": SECRET}


def found(*documents: Command | RawBSONDocument) -> Reply:
    return {"ok": 1, "cursor": {"id": 0, "ns": "app.jobs", "firstBatch": list(documents)}}


async def claim(store: JobStore) -> object:
    return await store.claim(RUN, [Claim(id="a", seen_status="failed", seen_task_id=None, task_id="t")], now=NOW)


async def settle(store: JobStore) -> None:
    await store.settle(RUN, ["a"], now=NOW)


async def look_up(store: JobStore) -> object:
    return await looked_up(store, ["a"])


async def check(store: JobStore) -> None:
    await store.check()


CALLS: list[Callable[[JobStore], Awaitable[object]]] = [check, look_up, claim, settle]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (13, Reason.JOB_STORE_PERMISSION_DENIED),
        (18, Reason.JOB_STORE_AUTHENTICATION_FAILED),
        (8000, Reason.JOB_STORE_AUTHENTICATION_FAILED),
        (50, Reason.JOB_STORE_UNAVAILABLE),
        (2, Reason.JOB_STORE_UNAVAILABLE),
    ],
)
async def test_an_error_of_the_server_is_translated_by_its_code_and_its_text_is_not_shown(
    call: Callable[[JobStore], Awaitable[object]], code: int, reason: Reason
) -> None:
    async with store_on(failing(code)) as (store, _):
        with pytest.raises(RecoveryError) as caught:
            await call(store)

    assert caught.value.reason == reason
    assert SECRET not in str(caught.value)


async def test_a_wrong_password_is_distinguished_from_a_server_that_is_down() -> None:
    async with store_on(failing(18), user="bob:hunter2@") as (store, server):
        with pytest.raises(RecoveryError) as caught:
            await store.check()

    assert next(iter(server.commands[0])) == "saslStart"
    assert caught.value.reason == Reason.JOB_STORE_AUTHENTICATION_FAILED
    assert "hunter2" not in str(caught.value)
    assert "bob" not in str(caught.value)


async def test_a_server_that_is_down_is_reported_within_seconds_and_without_its_login() -> None:
    async with connected(f"mongodb://bob:hunter2@127.0.0.1:{free_port()}/") as store:
        with pytest.raises(RecoveryError) as caught:
            await store.check()

    assert caught.value.reason == Reason.JOB_STORE_UNAVAILABLE
    assert "refuses the connection" in caught.value.message
    assert "bob" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_the_url_cannot_override_writes_by_majority_and_reads_of_the_primary() -> None:
    def reply(name: str, _command: Command) -> Reply:
        return found() if name == "find" else OK

    options = "?w=0&journal=false&readPreference=secondary&readConcernLevel=available&appName=other&timeoutMS=1"
    async with store_on(reply, options=options) as (store, server):
        for call in CALLS:
            await call(store)

    writes, reads = server.named("update"), server.named("find")
    assert [command["writeConcern"] for command in writes] == [{"w": "majority", "wtimeout": 10000}] * len(writes)
    assert [command["readConcern"] for command in reads] == [{"level": "majority"}] * len(reads)
    assert not any("$readPreference" in command for command in server.commands)
    assert "queue-recovery" in repr(server.greetings)
    assert "other" not in repr(server.greetings)


FAR_OFF = bson.encode({"_id": "a", "args": [DatetimeMS(2**60)]})
NO_UTF8 = bson.encode({"_id": "a", "args": ["text"]}).replace(b"text", b"\xff\xfe\xfd\xfc")


@pytest.mark.parametrize(
    ("document", "says"),
    [
        pytest.param(FAR_OFF, 'documents of "a". Correct', id="a date that Python does not know"),
        pytest.param(NO_UTF8, "not valid BSON", id="text that is no UTF-8"),
    ],
)
async def test_a_document_that_cannot_be_read_rejects_the_recovery(document: bytes, says: str) -> None:
    async with scripted(lambda _name, _command: found(RawBSONDocument(document))) as server:
        store = connect(server.url, spec("app", "jobs", fields={"args": "args"}))
        with pytest.raises(RecoveryError) as caught:
            await looked_up(store, ["a"])
        await store.aclose()

    assert caught.value.reason == Reason.INVALID_ARGUMENTS
    assert says in caught.value.message


async def test_a_document_that_matches_only_by_collation_is_not_the_jobs() -> None:
    async with store_on(lambda _name, _command: found({"_id": "A", "status": "failed"})) as (store, _):
        assert await looked_up(store, ["a"]) == {}


def refusing(code: int, *, claimed: bool) -> Callable[[str, Command], Reply]:
    """Answer as a collection whose rules forbid every update; its one job is claimed or failed."""
    became = {"status": "pending", "taskId": "t"}
    stamps = {RUN: {"was": {"status": "failed"}, "became": became, "at": NOW}} if claimed else {}

    def reply(name: str, command: Command) -> Reply:
        if name == "find":
            return found({"_id": "a", "status": "failed", "queueRecovery": stamps})
        updates = command["updates"]
        assert isinstance(updates, list)
        errors = [{"index": index, "code": code, "errmsg": SECRET} for index in range(len(updates))]
        return {"ok": 1, "n": 0, "nModified": 0, "writeErrors": errors}

    return reply


@pytest.mark.parametrize("code", [28, 121, 10003, 10334, 11000, 17419])
async def test_a_claim_that_the_collections_rules_forbid_rejects_the_recovery_and_names_the_job(code: int) -> None:
    async with store_on(refusing(code, claimed=False)) as (store, _):
        with pytest.raises(RecoveryError, match=rf'documents of "a" \(code {code}\)') as caught:
            await claim(store)

    assert caught.value.reason == Reason.JOB_STORE_WRITE_REFUSED
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("code", [28, 121, 10003, 10334, 17419])
async def test_a_job_that_cannot_take_a_stamp_is_settled_without_one(code: int) -> None:
    async with store_on(refusing(code, claimed=False)) as (store, _):
        await settle(store)


async def test_a_claimed_job_that_cannot_be_reverted_is_retried_and_named() -> None:
    async with store_on(refusing(121, claimed=True)) as (store, _):
        with pytest.raises(RecoveryError, match=r'documents of "a" \(code 121\)') as caught:
            await settle(store)

    assert caught.value.reason == Reason.JOB_STORE_RELEASE_REFUSED


@pytest.mark.parametrize("call", [claim, settle])
async def test_a_write_that_no_majority_has_acknowledged_is_retried(
    call: Callable[[JobStore], Awaitable[object]],
) -> None:
    def reply(name: str, _command: Command) -> Reply:
        if name == "find":
            return found({"_id": "a", "status": "failed"})
        return {"ok": 1, "n": 1, "nModified": 1, "writeConcernError": {"code": 64, "errmsg": SECRET}}

    async with store_on(reply) as (store, _):
        with pytest.raises(RecoveryError) as caught:
            await call(store)

    assert caught.value.outcome is Outcome.UNAVAILABLE
    assert caught.value.reason == Reason.JOB_STORE_UNAVAILABLE
