"""Real tasks fail on a real worker for every reason of the table: plan and proposal know whether a retry helps."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.reasons import Reason
from queue_recovery.api.select import PurgeSelect
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.layout.headers import facts_of
from queue_recovery.broker.redis_results import RedisResults
from queue_recovery.diagnosis.evidence import MOST_FACTS
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.plan import plan
from sandbox.broker import Broker as Server
from sandbox.processes import Scope, until
from tests.broker.application import Application
from tests.broker.conftest import on_one_server
from tests.broker.failing_app import ROWS, app
from tests.broker.stored_recovery import stored_recovery
from tests.controller.proposing import Incident
from tests.recovery.fakes import Case, target

CASES = {f"{row}-{way}": row for row, (_, ways) in ROWS.items() for way in range(len(ways))}


@pytest.fixture
async def results(server: Server) -> AsyncIterator[RedisResults]:
    opened = RedisResults.connect(server.url)
    yield opened
    await opened.aclose()


def case(broker: RedisBroker, results: RedisResults, *task_ids: str, suspend: bool = False) -> Case:
    """Return a recovery of jobs whose documents name tasks that have failed."""
    made = stored_recovery(broker, dict.fromkeys(task_ids, "failed"), {"suspend": suspend})
    for one in task_ids:
        made.jobs.add(one, task_id=one)
    made.environment.results_from = results
    made.environment.targets["media"] = target(None, id_type="String", diagnosis={"results": {}})
    return made


async def diagnosed(made: Case) -> Diagnosis:
    await plan(made.recovery())
    assert made.status.plan is not None
    assert made.status.plan.diagnosis is not None
    return made.status.plan.diagnosis


async def is_proposed(results: RedisResults, task_id: str) -> bool:
    """Tell whether a purge is proposed of a task that is retried indefinitely, with what Celery has stored of it."""
    incident = Incident()
    incident.namespace.results_from = results
    await incident.loop(task_id, looks=4)
    if not incident.api.created:
        assert "a retry helps" in incident.cause().message
        return False
    assert incident.proposal["spec"]["purge"] == {"select": {"tasks": ["tts.render"], "minRetries": 10}}
    return True


@on_one_server
async def test_the_table_as_tasks_that_fail_on_a_worker(
    scope: Scope, broker: RedisBroker, results: RedisResults, server: Server, redis: Redis
) -> None:
    environment = {"BROKER_URL": server.url, "PYTHONWARNINGS": "ignore"}
    with app.connection_for_write(url=server.url) as connection:
        for task_id, row in CASES.items():
            arguments = [row, int(task_id.rpartition("-")[2])]
            app.send_task("tts.fail", arguments, task_id=task_id, connection=connection)
        app.send_task("tts.retried", task_id="retried", connection=connection)
        app.send_task("tts.fine", task_id="fine", connection=connection)
    worker = await scope.start(
        "worker",
        [
            *(Path(sys.executable).with_name("celery"), "-A", "tests.broker.failing_app", "worker", "--pool=solo"),
            *("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=info"),
        ],
        environment=environment,
    )

    async def all_are_over() -> bool:
        found = await redis.mget([f"celery-task-meta-{one}" for one in [*CASES, "retried", "fine"]])
        return all(one and json.loads(one)["status"] != "PENDING" for one in found) and await _are_final(redis)

    await until(all_are_over, "all tasks to have failed for good", of=worker)

    for task_id, row in CASES.items():
        found = await diagnosed(case(broker, results, task_id, suspend=True))
        [error] = [one for one in found.errors if one.examples == [task_id]]
        assert error.verdict == ROWS[row][0], error
        assert (error.jobs, error.attempts, error.task) == (1, 3, "tts.render")
        assert error.first_seen_time is not None
        assert await is_proposed(results, task_id) is (ROWS[row][0] != "Transient"), error
    # Of the retry that is far away the worker has a message, which it puts back onto the queue when it stops.
    await worker.stop()
    held = case(broker, results)
    with pytest.raises(RecoveryError) as raised:
        await diagnosed(held)
    assert raised.value.reason == Reason.TRANSIENT_ERRORS
    assert held.status.plan is not None
    assert held.status.plan.diagnosis is not None
    (error,) = held.status.plan.diagnosis.errors
    assert (error.exception, error.task, error.examples) == ("ConnectionRefusedError", "tts.retried", ["retried"])
    assert error.attempts == 1
    assert held.status.plan.diagnosis.retried == held.status.plan.diagnosis.most_retries == 1
    assert len(held.status.plan.diagnosis.retried_by) == 1
    assert "alice" not in held.status.model_dump_json()


@on_one_server
async def test_headers_tell_what_has_happened_to_messages(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.send("tts", "killed")
    application.hold("tts", 1)
    [tag] = await redis.hkeys("unacked")
    assert isinstance(tag, bytes)
    application.give_back(tag.decode())
    application.send("tts", "fresh")
    application.send("tts", "retried", retries=4)

    found = (await broker.count("tts")).facts

    assert {(one.task_id, one.retries, one.redelivered) for one in found} == {
        ("killed", 0, True),
        ("retried", 4, False),
    }
    select = PurgeSelect(min_retries=3)
    assert [one.task_id for one in (await broker.count("tts", select=select)).facts] == ["retried"]


@pytest.mark.parametrize(
    ("headers", "host"),
    [
        ({"retries": 1, "origin": "gen17@tts-worker-7d9c"}, "tts-worker-7d9c"),
        ({"retries": 1, "origin": "gen17@the card of alice"}, None),
        ({"retries": 1, "origin": "alice"}, None),
        ({"retries": 1, "origin": "gen1@" + "a" * 10_000}, None),
        ({"retries": 1, "origin": 5}, None),
        ({"retries": True, "redelivered": "yes", "origin": "gen1@a"}, None),
        ({"retries": 10**30}, None),
        (None, None),
    ],
)
def test_of_headers_that_anybody_may_have_written_only_those_in_form_count(headers: object, host: object) -> None:
    found = facts_of({"headers": headers, "properties": {"delivery_info": []}})

    assert (None if found is None else found.sent_by) == host
    assert found is None or (found.retries, found.redelivered) == (1, False)


def test_names_of_megabytes_are_not_remembered_of_a_thousand_messages() -> None:
    found = facts_of({"headers": {"retries": 1, "id": "a" * 2**20, "task": "b" * 2**20}})

    assert found is not None
    assert (found.task_id, found.task) == (None, "b" * 300)


@on_one_server
async def test_the_facts_of_a_deep_queue_are_bounded(broker: RedisBroker, application: Application) -> None:
    for number in range(MOST_FACTS + 50):
        application.send("tts", f"retried-{number}", retries=1)
    select = PurgeSelect(min_retries=1)

    assert len((await broker.count("tts", select=select)).facts) == MOST_FACTS


async def _are_final(redis: Redis) -> bool:
    found = await redis.mget([f"celery-task-meta-{one}" for one in CASES])
    return all(json.loads(one)["status"] == "FAILURE" for one in found if one)
