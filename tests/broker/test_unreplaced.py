"""Messages of jobs that are not enqueued stay in the queue, and of others that no job replaces a recovery tells."""

from collections.abc import Sequence

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.quarantine import unreplaced
from queue_recovery.recovery.ports import MessageName, Run, SeenJob, Task, Unreplaced
from tests.broker.application import Application, recovery, recovery_of, seen_jobs


async def enqueue(broker: RedisBroker, run: Run, seen: dict[str, SeenJob], *written_out: str) -> None:
    """Enqueue the jobs of these keys, and some that are written out."""
    keys = [*seen, *written_out]
    await broker.run(run).push(
        {run.queue: [Task(key=key, task_id=f"new {key}", task="t", args="[]", kwargs="{}") for key in keys]}
    )


async def test_messages_of_jobs_that_are_not_enqueued_are_left_wherever_they_are_and_all_others_are_taken(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    for n in range(6):
        application.send("tts", f"m{n}", priority=9 if n % 2 else 0)
    held = application.hold("tts", 2)
    await redis.lpush("tts", "unreadable")
    run = recovery("tts")
    await broker.run(run).open()
    listed = ["m4", "m5", held[0]]
    await broker.run(run).freeze({run.queue: seen_jobs(*listed, "gone", recoverable=False)})

    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked, taken.left) == (3, 1, 3)
    assert taken.left_ids == set(listed)
    assert await redis.hlen("unacked") == 1
    assert application.consume("tts") == ["m4", "m5"]


async def test_a_message_in_another_queue_than_its_job_is_listed_for_is_left_too(
    broker: RedisBroker, application: Application
) -> None:
    runs = recovery_of("index", "tts")
    application.enqueue("tts", "a", "b")
    await broker.run(*runs).open()
    await broker.run(runs[0]).freeze({runs[0].queue: seen_jobs("a", recoverable=False)})

    taken = await broker.run(*runs).take()

    assert (taken.ready, taken.left) == (1, 1)
    assert application.consume("tts") == ["a"]


async def test_messages_whose_jobs_are_enqueued_are_replaced_and_the_others_are_named(
    broker: RedisBroker, application: Application
) -> None:
    for n in range(9):
        application.send("tts", f"m{n}", priority=9 if n % 2 else 0)
    application.hold("tts", 1)
    run, jobs = recovery("tts"), seen_jobs("m0", "m1", "m8")
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: {**jobs, "9:str:other": SeenJob(status="failed", task_id="m7")}})
    await broker.run(run).take()
    await enqueue(broker, run, jobs)
    await broker.run(run).close()

    found = await broker.run(run).unreplaced()

    assert (found.count, found.is_exact, len(found.first)) == (6, True, 5)
    assert set(found.first) <= {MessageName(task_id=f"m{n}", task="tts.render") for n in range(2, 8)}


@pytest.mark.parametrize(
    ("messages", "written_out", "count"),
    [(["a", "b", "c"], 2, 1), (["a", "a", "a"], 1, 0), (["a"], 5, 0)],
    ids=["one more", "several of one task", "fewer"],
)
async def test_a_job_without_a_task_id_may_replace_any_message_so_there_are_at_least_so_many_others(
    broker: RedisBroker, application: Application, messages: Sequence[str], written_out: int, count: int
) -> None:
    application.enqueue("tts", *messages)
    run = recovery("tts")
    await broker.run(run).open()
    await broker.run(run).take()
    await enqueue(broker, run, {}, *(f"{n}:task" for n in range(written_out)))

    assert await broker.run(run).unreplaced() == Unreplaced(count=count, is_exact=False, first=())


async def test_of_a_deep_queue_a_part_is_looked_at_and_of_one_that_nothing_replaces_no_more_than_is_named(
    broker: RedisBroker, redis: Redis, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unreplaced, "_MOST", 100)
    application.enqueue("tts", *(f"m{n}" for n in range(300)))
    run, jobs = recovery("tts"), seen_jobs("m0")
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: jobs})
    await broker.run(run).take()

    before = await _reads(redis)
    assert (await broker.run(run).unreplaced()).count == 300
    assert await _reads(redis) - before <= 2
    await enqueue(broker, run, jobs)
    found = await broker.run(run).unreplaced()
    assert 100 <= found.count < 300
    assert not found.is_exact


async def _reads(redis: Redis) -> int:
    """Return how many scripts have been run so far: each of them reads a portion."""
    stats = await redis.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {}).get("calls", 0)) for name in ("eval", "evalsha"))
