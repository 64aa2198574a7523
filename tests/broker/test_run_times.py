"""Real Celery workers run tasks that are longer than a setting, and a target tells so; of nothing else it does."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.processes import until
from tests.broker.conftest import on_one_server
from tests.broker.stuck_incident import Incident

pytestmark = on_one_server

LONG_AGO = 60.0


async def is_started(incident: Incident) -> None:
    """Wait until a result says that its task was started."""

    async def stored() -> bool:
        values = [await incident.redis.get(key) for key in await incident.redis.keys("celery-task-meta-*")]
        return any(b'"STARTED"' in (value or b"") for value in values)

    await until(stored, "a task to be started")


async def is_delivered_again(incident: Incident) -> None:
    """Wait until the only message has another time of delivery than now."""

    async def delivery() -> object:
        return await incident.redis.zrange("unacked_index", 0, -1, withscores=True)

    before = await delivery()

    async def other() -> bool:
        return await delivery() not in ([], before)

    await until(other, "the message to be delivered again")


async def look_now(incident: Incident) -> None:
    """Look, by the same clock as the worker's."""
    incident.namespace.time = datetime.now(UTC)
    await incident.look(after=timedelta())


async def test_a_task_that_runs_longer_than_its_worker_may_take_to_end_is_told_at_the_second_look(
    incident: Incident,
) -> None:
    incident.reads_results()
    incident.namespace.deployments.change("worker", grace_seconds=20)
    worker = await incident.start(ago=LONG_AGO)
    await incident.look()
    incident.send("tts.tracked", arguments=[600])
    await is_started(incident)

    await incident.look()
    assert incident.run_times()[0] == "NoRunSeen"
    await incident.look()

    reason, message = incident.run_times()
    assert reason == "RunBeyondGracePeriod"
    assert message.startswith('task "tts.tracked" of queue "tts" ran for at least 30 seconds, and the pods of')
    await worker.kill()


async def test_a_message_that_celery_delivers_again_while_its_task_runs_is_told(incident: Incident) -> None:
    incident.reads_results(visibilityTimeoutSeconds=3)
    await incident.start(ago=LONG_AGO, VISIBLE_SECONDS="3")
    incident.namespace.deployments.change("worker", grace_seconds=600)
    await incident.look()
    incident.send("tts.tracked", arguments=[600])
    await is_started(incident)
    await look_now(incident)
    await incident.start(ago=LONG_AGO, VISIBLE_SECONDS="3")
    await is_delivered_again(incident)
    await look_now(incident)

    reason, message = incident.run_times()
    assert reason == "RunBeyondTimeout"
    assert 'runs task "tts.tracked" of queue "tts" held its message for at least 3 seconds' in message


@pytest.mark.parametrize("retry", [True, False], ids=["by a retry", "because it gives its message back"])
async def test_a_task_that_is_run_again_and_again_does_not_run_long(incident: Incident, *, retry: bool) -> None:
    incident.reads_results()
    await incident.start(ago=LONG_AGO)
    await incident.look()
    incident.send("tts.tracked_again", kwargs={"retry": retry})
    await is_started(incident)

    for _ in range(5):
        await is_delivered_again(incident)
        await incident.look()
        assert incident.run_times()[0] == "NoRunSeen"


async def test_what_a_killed_worker_was_running_does_not_run_any_more(incident: Incident) -> None:
    incident.reads_results()
    worker = await incident.start(ago=LONG_AGO)
    await incident.look()
    incident.send("tts.tracked", arguments=[600])
    await is_started(incident)
    await incident.look()
    await worker.kill()
    await incident.ended(worker)
    await incident.start()

    for _ in range(3):
        await incident.look()
        assert incident.run_times()[0] == "NoRunSeen"


async def test_a_task_that_is_acknowledged_before_it_runs_is_not_seen(incident: Incident) -> None:
    incident.reads_results()
    worker = await incident.start(ago=LONG_AGO)
    await incident.look()
    incident.send("tts.tracked_early", "tts.tracked_early", arguments=[600])
    await is_started(incident)

    for _ in range(3):
        await incident.look()
        assert incident.run_times()[0] == "NoRunSeen"
    await worker.kill()
