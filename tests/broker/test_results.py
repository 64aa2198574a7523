"""Celery's results are read by id, in bounded portions, and nothing but JSON in Celery's shape is believed."""

import json
import re
from datetime import UTC, datetime

import pytest
from kubernetes.aio.client import ApiClient, Configuration
from redis.asyncio import Redis

from queue_recovery.api.reasons import Reason
from queue_recovery.broker.inspection.results import key_prefix, result_of
from queue_recovery.broker.redis_results import RedisResults
from queue_recovery.controller.evidence_check import check_evidence
from queue_recovery.diagnosis.evidence import TaskProcess
from queue_recovery.recovery.errors import RecoveryError
from sandbox.broker import Broker as Server
from sandbox.processes import ROOT
from tests.broker import documented
from tests.controller.environments import GivenSecrets, environment_of
from tests.recovery.fakes import target

FAILURE = {
    "status": "FAILURE",
    "result": {"exc_type": "ConnectTimeout", "exc_message": ["secret of alice"], "exc_module": "requests.exceptions"},
    "traceback": "Traceback (most recent call last):\n",
    "children": [],
    "date_done": "2026-01-02T03:04:05.678901+00:00",
    "task_id": "a",
}
EXTENDED = {"name": "tts.render", "args": ["payload"], "kwargs": {}, "worker": "w", "retries": 7, "queue": "tts"}


def stored(**fields: object) -> bytes:
    return json.dumps({**FAILURE, **fields}).encode()


def test_a_failure_has_its_class_in_full_and_its_time() -> None:
    found = result_of(stored())

    assert found is not None
    assert found.failure is not None
    assert (found.failure.exception, found.failure.is_full_name) == ("requests.exceptions.ConnectTimeout", True)
    assert found.seen == datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    assert (found.task, found.retries, found.succeeded) == (None, None, False)


def test_with_extended_results_the_task_and_its_retries_are_known_too() -> None:
    found = result_of(stored(**EXTENDED, status="RETRY", date_done=None))

    assert found is not None
    assert (found.task, found.retries, found.seen) == ("tts.render", 7, None)
    assert found.failure is not None


def test_what_a_task_has_returned_is_dropped() -> None:
    found = result_of(stored(status="SUCCESS", result={"exc_type": "TypeError", "card": "4111"}))

    assert found is not None
    assert found.succeeded
    assert "4111" not in repr(found)
    assert found.failure is None


def test_a_task_that_was_started_names_the_process_that_runs_it() -> None:
    found = result_of(stored(status="STARTED", result={"pid": 7, "hostname": "high@cpu@tts-worker-0"}))

    assert found is not None
    assert found.started_by == TaskProcess(host="tts-worker-0", pid=7)
    assert (found.failure, found.succeeded) == (None, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "SUCCESS"},
        {"status": "RETRY"},
        {"result": None},
        {"result": {"pid": 7}},
        {"result": {"pid": True, "hostname": "celery@pod"}},
        {"result": {"pid": 0, "hostname": "celery@pod"}},
        {"result": {"pid": 10**30, "hostname": "celery@pod"}},
        {"result": {"pid": 7, "hostname": "pod"}},
        {"result": {"pid": 7, "hostname": "celery@"}},
        {"result": {"pid": 7, "hostname": ["celery@pod"]}},
    ],
)
def test_anything_else_names_no_process(fields: dict[str, object]) -> None:
    found = result_of(stored(**{"status": "STARTED", "result": {"pid": 7, "hostname": "celery@pod"}} | fields))

    assert found is not None
    assert found.started_by is None


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\x80\x04\x95pickle",
        b"[]",
        b'"FAILURE"',
        b"{}",
        b'{"status": 1}',
        b"{" * 1000,
        b'{"status": "FAILURE"' + b" " * 1000,
    ],
)
def test_anything_else_is_no_result(value: bytes) -> None:
    assert result_of(value) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"result": None},
        {"result": [1]},
        {"result": {"exc_type": ["TypeError"], "exc_message": {"a": 1}}},
        {"date_done": "yesterday"},
        {"date_done": 5},
        {"date_done": "0001-01-01T00:00:00"},
        {"date_done": "0001-01-01T00:00:00+23:59"},
        {"date_done": "9999-12-31T23:59:59-23:59"},
        {"retries": -1},
        {"retries": True},
        {"retries": 10**30},
        {"name": ""},
    ],
)
def test_a_field_of_another_shape_is_not_known(fields: dict[str, object]) -> None:
    found = result_of(stored(**fields))

    assert found is not None
    assert found.retries is None
    assert found.task is None
    assert ("date_done" in fields) == (found.seen is None)


@pytest.mark.parametrize(
    ("prefix", "key"),
    [("", "celery-task-meta-"), ("app", "app_celery-task-meta-"), ("app:", "app:celery-task-meta-")],
)
def test_keys_are_those_that_celery_makes_of_the_prefix(prefix: str, key: str) -> None:
    assert key_prefix(prefix) == key


@pytest.fixture
async def results(server: Server, redis: Redis) -> RedisResults:
    del redis
    return RedisResults.connect(server.url)


async def test_results_are_read_in_batches_and_those_that_cannot_be_read_are_left_out(
    results: RedisResults, redis: Redis
) -> None:
    ids = [f"id-{number}" for number in range(20)]
    for one in ids:
        await redis.set(f"celery-task-meta-{one}", stored())
    await redis.set("celery-task-meta-large", stored(traceback="x" * 40_000))
    await redis.lpush("celery-task-meta-list", "no string")
    await redis.set("celery-task-meta-pickle", b"\x80\x04\x95")

    found = await results.read([*ids, "large", "list", "pickle", "none", "", "x" * 1000, "\ud800"])

    assert sorted(found) == sorted(ids)
    await results.aclose()


async def test_the_documented_rights_are_enough(server: Server, redis: Redis) -> None:
    page = (ROOT / "docs/diagnosis.md").read_text()
    [more] = re.findall(r"^    ACL SETUSER queue-recovery (.*)$", page, re.MULTILINE)
    words = ["queue-recovery", "on", *documented.rules(), *more.split()]
    await redis.execute_command("ACL", "SETUSER", *words)  # type: ignore[no-untyped-call]
    await redis.set("celery-task-meta-a", stored())
    results = RedisResults.connect(server.url.replace("redis://", "redis://queue-recovery:PASSWORD@"))

    assert list(await results.read(["a"])) == ["a"]
    await results.aclose()
    await redis.acl_deluser("queue-recovery")


async def test_a_user_who_may_not_read_them_is_told_so(server: Server, redis: Redis) -> None:
    await redis.acl_setuser("narrow", enabled=True, nopass=True, commands=["+@all"], keys=["tts"])
    results = RedisResults.connect(server.url.replace("redis://", "redis://narrow:any@"))

    with pytest.raises(RecoveryError) as raised:
        await results.read(["a"])

    assert raised.value.reason == Reason.BROKER_PERMISSION_DENIED
    await results.aclose()
    await redis.acl_deluser("narrow")


async def told(url: str, diagnosis: dict[str, object]) -> tuple[str, str, str]:
    """Return the condition of a target whose broker and results have this URL."""
    async with ApiClient(Configuration(host="http://127.0.0.1:1")) as api:
        secrets = GivenSecrets(api, {"results": {"url": url}, "redis": {"url": url}})
        environment = environment_of(api, secrets=secrets)
        verdict = await check_evidence(target(diagnosis=diagnosis), environment, is_broker_usable=True)
    assert verdict is not None
    return verdict


@pytest.mark.parametrize("ref", [{"urlSecretRef": {"name": "results", "key": "url"}}, {}])
async def test_a_target_tells_whether_they_can_be_read(server: Server, redis: Redis, ref: dict[str, object]) -> None:
    await redis.acl_setuser("narrow", enabled=True, passwords=["+wqxz"], commands=["+@all"], keys=["tts"])
    of_narrow = server.url.replace("redis://", "redis://narrow:wqxz@")

    assert (await told(server.url, {"results": ref}))[:2] == ("True", "EvidenceReadable")
    status, reason, message = await told(of_narrow, {"results": ref})

    assert (status, reason) == ("False", "BrokerPermissionDenied")
    assert "%R~celery-task-meta-* and +getrange" in message
    assert f'Secret "{"results" if ref else "redis"}", key "url"' in message
    assert "wqxz" not in message
    await redis.acl_deluser("narrow")
