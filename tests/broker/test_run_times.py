"""Real Celery workers run tasks that are longer than a setting, and a target tells so; of nothing else it does."""

from datetime import UTC, datetime, timedelta

import pytest

from sandbox.processes import until
from tests.broker.conftest import on_one_server
from tests.broker.stuck_incident import Incident

pytestmark = on_one_server


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


async def is_told(incident: Incident, reason: str) -> str:
    """Look, by the same clock as the worker's, until a reason is told; return its message."""

    async def told() -> str | None:
        await look_now(incident)
        found, message = incident.run_times()
        return message if found == reason else None

    return await until(told, f"the target to tell {reason}") or ""


async def server_is_older_than_messages(incident: Incident) -> None:
    """Wait until the server has been running for so long that what is delivered now is not from a snapshot."""

    async def is_old() -> bool:
        return bool((await incident.redis.info("server"))["uptime_in_seconds"] > 6)

    await until(is_old, "the server to have been running for a few seconds")


async def test_a_task_that_runs_longer_than_its_worker_may_take_to_end_is_told(incident: Incident) -> None:
    incident.reads_results()
    incident.grace_seconds = 1
    worker = await incident.start()
    await look_now(incident)
    await server_is_older_than_messages(incident)
    incident.send("tts.tracked", arguments=[600])
    await is_started(incident)

    message = await is_told(incident, "RunBeyondGracePeriod")

    assert message.startswith('task "tts.tracked" of queue "tts" ran for at least ')
    assert 'the pods of Deployment "worker" have 1 second to end' in message
    await worker.kill()


@pytest.mark.thorough
async def test_a_message_that_celery_delivers_again_while_its_task_runs_is_told(incident: Incident) -> None:
    incident.reads_results(visibilityTimeoutSeconds=20)
    await incident.start(VISIBLE_SECONDS="20")
    await look_now(incident)
    await server_is_older_than_messages(incident)
    incident.send("tts.tracked", arguments=[600])
    await is_started(incident)
    await incident.start(VISIBLE_SECONDS="20")

    message = await is_told(incident, "RunBeyondTimeout")

    assert "and its message was delivered again while it ran" in message


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["by a retry", "because it gives its message back"])
async def test_a_task_that_is_run_again_and_again_does_not_run_long(incident: Incident, how: str) -> None:
    incident.reads_results()
    await incident.start()
    await server_is_older_than_messages(incident)
    incident.send("tts.tracked_again", kwargs={"how": how})
    await is_started(incident)

    for _ in range(5):
        await is_delivered_again(incident)
        await look_now(incident)
        assert incident.run_times()[0] == "NoRunSeen"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "how", ["because it gives its message back", "because its child process is lost", "as another task"]
)
async def test_a_task_that_waits_behind_another_one_does_not_run_although_it_is_stored_as_started(
    incident: Incident, how: str
) -> None:
    incident.reads_results()
    worker = await incident.start("--prefetch-multiplier=4")
    await server_is_older_than_messages(incident)
    incident.send("tts.tracked_again", kwargs={"how": how})
    await is_started(incident)
    incident.send("tts.long", arguments=[600])

    async def is_behind() -> bool:
        return "Task tts.long" in worker.log.read_text() and await incident.redis.hlen("unacked") == 1

    await until(is_behind, "the task to wait behind another one", of=worker)

    for _ in range(3):
        await look_now(incident)
        assert incident.run_times()[0] == "NoRunSeen"
    await worker.kill()


@pytest.mark.thorough
async def test_what_a_killed_worker_was_running_does_not_run_any_more(incident: Incident) -> None:
    incident.reads_results()
    worker = await incident.start()
    await server_is_older_than_messages(incident)
    incident.send("tts.tracked", arguments=[600])
    await is_started(incident)
    await look_now(incident)
    await worker.kill()
    await incident.ended(worker)
    await incident.start()

    for _ in range(3):
        await look_now(incident)
        assert incident.run_times()[0] == "NoRunSeen"


@pytest.mark.thorough
async def test_a_task_that_is_acknowledged_before_it_runs_is_not_seen(incident: Incident) -> None:
    incident.reads_results()
    worker = await incident.start()
    await server_is_older_than_messages(incident)
    incident.send("tts.tracked_early", "tts.tracked_early", arguments=[600])
    await is_started(incident)

    for _ in range(3):
        await look_now(incident)
        assert incident.run_times()[0] == "NoRunSeen"
    await worker.kill()
