"""Real tasks fail on a real worker for every reason of the table, and the plan says of each whether a retry helps."""

import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from queue_recovery.api.diagnosis import Diagnosis
from queue_recovery.api.reasons import Reason
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.redis_results import RedisResults
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.plan import plan
from sandbox.broker import Broker as Server
from sandbox.processes import Scope, until
from tests.broker.conftest import on_one_server
from tests.broker.failing_app import ROWS, app
from tests.broker.stored_recovery import stored_recovery
from tests.recovery.fakes import Case, target

pytestmark = on_one_server

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
    assert held.status.plan.diagnosis.retried == held.status.plan.diagnosis.most_retries == 1
    assert len(held.status.plan.diagnosis.retried_by) == 1
    assert "alice" not in held.status.model_dump_json()


async def _are_final(redis: Redis) -> bool:
    found = await redis.mget([f"celery-task-meta-{one}" for one in CASES])
    return all(json.loads(one)["status"] == "FAILURE" for one in found if one)
