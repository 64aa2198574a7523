"""Real Celery workers are stuck for one cause after the other, and the target tells which."""

import signal
from collections.abc import Mapping
from uuid import UUID

import pytest
from redis.asyncio import Redis

from sandbox.processes import until
from tests.broker.conftest import on_one_server
from tests.broker.stuck_incident import ENOUGH, Incident

pytestmark = on_one_server


async def test_a_worker_that_is_stopped_with_its_connection_open_is_deaf(incident: Incident) -> None:
    worker = await incident.start()
    worker.send_to_group(signal.SIGSTOP)
    # The server gives one message to the connection that waits for it: it is neither in the list nor in `unacked`.
    incident.send("tts.short", "tts.short", "tts.short")
    first = await incident.look()
    second = await incident.look(after=ENOUGH)
    assert incident.proposed() == [{"purge": {"mode": "None"}, "restart": {"annotate": True}}]
    worker.send_to_group(signal.SIGCONT)
    await incident.has(ready=0, unacked=0)

    assert first == {}
    assert list(second) == ["DeafWorkers"]
    assert second["DeafWorkers"].startswith(("2 messages wait", "3 messages wait"))
    for _ in range(3):
        last = await incident.look()
    assert last == {}


async def test_what_a_killed_worker_held_is_stranded_and_a_new_worker_is_not_deaf(incident: Incident) -> None:
    worker = await incident.start()
    incident.send("tts.late", arguments=[600])
    await incident.has(ready=0, unacked=1)
    assert await incident.look() == {}
    assert await incident.look(after=ENOUGH) == {}, "a long task"
    await worker.kill()
    await incident.ended(worker)
    # Ten seconds ago, as if it had run for so long.
    for tag in await incident.redis.hkeys("unacked"):
        await incident.redis.zincrby("unacked_index", -10, tag)
    await incident.start()

    assert await incident.look() == {}
    told = await incident.look()

    assert list(told) == ["StrandedMessages"]
    assert told["StrandedMessages"].startswith("1 message in unacked")
    assert incident.proposed() == [{"purge": {"mode": "None"}, "redeliver": {}}]


async def test_a_task_that_is_retried_indefinitely_is_a_retry_loop(incident: Incident) -> None:
    await incident.start()
    incident.send("tts.retried_indefinitely")

    async def retried(times: int) -> bool:
        return await incident.retries() >= times

    assert await incident.look() == {}
    await until(lambda: retried(10), "the task to be retried ten times")
    await incident.look()
    seen = await incident.retries()
    await until(lambda: retried(seen + 1), "the task to be retried again")

    told: Mapping[str, str] = {}

    async def is_told() -> bool:
        nonlocal told
        told = await incident.look()
        return "RetryLoop" in told

    await until(is_told, "a look to see the message, which is invisible while its task runs")
    assert list(told) == ["RetryLoop"]
    assert '(task "tts.retried_indefinitely")' in told["RetryLoop"]
    select = {"tasks": ["tts.retried_indefinitely"], "minRetries": 10}
    assert incident.proposed() == [{"purge": {"select": select}}]
    [task_id] = incident.seen()
    assert UUID(task_id), "by which its result is read"


@pytest.mark.thorough
async def test_a_message_that_kills_its_worker_each_time_is_poison(incident: Incident) -> None:
    """Acknowledged late, it comes back when the worker is started again, and its visibility timeout is over."""
    incident.send("tts.deadly")
    told = []
    for _ in range(3):
        worker = await incident.start("--pool=solo", ready=False, VISIBLE_SECONDS="1")
        assert await incident.ended(worker) == -signal.SIGKILL
        told.append(await incident.look())

    assert told[:2] == [{}, {}]
    assert list(told[2]) == ["PoisonMessage"]
    assert told[2]["PoisonMessage"].startswith(
        '1 message (task "tts.deadly") was delivered again and again without a retry, 3 times, and in '
        "between containers of the workers were killed or ended with an error."
    )


@pytest.mark.thorough
async def test_messages_that_no_worker_survives_are_undecodable(incident: Incident, redis: Redis) -> None:
    """Each of them ends the worker that takes it; the next one is started by the kubelet."""
    incident.send("tts.short")
    await redis.rpush("tts", *["rubbish"] * 4)
    told = []
    for _ in range(2):
        worker = await incident.start(ready=False)
        assert await incident.ended(worker) == 1
        told.append(await incident.look())

    assert told[0] == {}
    assert list(told[1]) == ["UndecodableMessages"]
    assert told[1]["UndecodableMessages"].startswith("2 messages of those that are consumed next are not Celery's")


async def test_workers_that_hold_far_etas_hoard_them(incident: Incident) -> None:
    incident.thresholds(hoardedMessages=20)
    await incident.start()
    incident.send(*["tts.short"] * 19, countdown=3600)
    await incident.has(ready=0, unacked=19)
    before = await incident.look()
    incident.send("tts.short", countdown=3600)
    await incident.has(ready=0, unacked=20)

    told = await incident.look()

    assert before == {}
    assert list(told) == ["HoardedMessages"]
    assert "20 of the 20 oldest of them have an ETA in the future" in told["HoardedMessages"]


@pytest.mark.thorough
async def test_a_worker_that_prefetches_far_more_than_it_runs_hoards_messages(incident: Incident) -> None:
    incident.thresholds(hoardedMessages=20)
    await incident.start("--prefetch-multiplier=100")
    incident.send("tts.long", arguments=[600])
    incident.send(*["tts.short"] * 20)
    await incident.has(ready=0, unacked=20)

    told = await incident.look()

    assert list(told) == ["HoardedMessages"]
    assert "Lower worker_prefetch_multiplier" in told["HoardedMessages"]


@pytest.mark.thorough
async def test_a_queue_whose_producer_is_faster_than_its_worker_only_rises(incident: Incident) -> None:
    incident.thresholds(risingSeconds=90, risingMessages=30)
    await incident.start()
    told = []
    for _ in range(5):
        before = await incident.redis.llen("tts")
        incident.send(*["tts.slow"] * 20)

        async def consumed(most: int = before + 20) -> bool:
            return await incident.redis.llen("tts") < most

        await until(consumed, "the worker to take some")
        told.append(list(await incident.look()))

    assert told == [[], [], [], ["RisingDepth"], ["RisingDepth"]]
