"""Locks, closing, releasing: who may begin, and what an ending leaves behind."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.jobs import check_size, listed
from queue_recovery.recovery.ports import Closed, Holder, Run, SeenJob, Task
from tests.broker.application import Application, everything, recovery, tasks
from tests.broker.conftest import Connect
from tests.broker.dying import dying_at

LATER = datetime(2030, 1, 1, tzinfo=UTC)


def holder(run: Run) -> Holder:
    """Return how the broker names a run that holds the lock of `tts`."""
    return Holder(
        uid=run.uid,
        name=run.name,
        run=run.uid,
        cluster=run.cluster,
        cluster_uid=run.cluster_uid,
        retention_seconds=run.retention_seconds,
        lock="queuerecovery.dev:lock:tts",
        quarantine=f"queuerecovery.dev:quarantine:{run.uid}",
    )


async def test_the_second_recovery_of_a_queue_waits_and_is_told_for_whom(connect: Connect, run: Run) -> None:
    broker, other = connect(), recovery("tts")
    assert await broker.holders("tts") == {}
    await broker.run(run).open()
    await broker.run(run).open()

    with pytest.raises(RecoveryError, match="media/tts-wrong-shape") as refused:
        await connect().run(other).open()

    assert refused.value.reason == "Locked"
    assert await broker.holders("tts") == {"tts": holder(run)}


@pytest.mark.parametrize(
    "name", [b"\xff/tts", b"../.", b"media/x\nbank precious", b"media", b"media/a/b", b""], ids=repr
)
async def test_a_name_that_no_recovery_has_is_not_taken_over_from_the_broker(
    broker: RedisBroker, redis: Redis, run: Run, name: bytes
) -> None:
    await broker.run(run).open()
    await redis.hset(f"queuerecovery.dev:run:{run.uid}", "name", name)

    assert (await broker.holders("tts"))["tts"].name == run.uid


async def test_a_lock_that_is_no_text_is_the_lock_of_somebody_unknown(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    await redis.set("queuerecovery.dev:lock:tts", b"\xff\xfe")

    assert (await broker.holders("tts"))["tts"].cluster_uid is None
    with pytest.raises(RecoveryError, match="Locked"):
        await broker.run(run).open()


async def test_queues_and_prefixes_have_locks_of_their_own(connect: Connect, redis: Redis) -> None:
    await connect().run(recovery("tts")).open()
    await connect().run(recovery("mail")).open()
    await connect(TransportOptions(global_key_prefix="shop.")).run(recovery("tts")).open()

    assert sorted(await redis.keys("*lock:*")) == [
        b"queuerecovery.dev:lock:mail",
        b"queuerecovery.dev:lock:tts",
        b"shop.queuerecovery.dev:lock:shop.tts",
    ]


async def test_a_released_queue_is_free_for_the_next_recovery(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).open()
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)

    assert await broker.holders("tts") == {}
    await broker.run(recovery("tts")).open()


async def test_a_release_that_comes_late_leaves_the_lock_of_the_next_recovery_alone(
    broker: RedisBroker, run: Run
) -> None:
    following = recovery("tts")
    await broker.run(run).open()
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)
    await broker.run(following).open()

    await broker.run(run).release(expires=LATER, retain=True)

    assert await broker.holders("tts") == {"tts": holder(following)}


async def test_a_run_cannot_be_released_before_it_is_closed(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).open()

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).release(expires=LATER, retain=True)
    assert await broker.holders("tts")


async def test_a_run_that_was_never_opened_is_closed_for_good(broker: RedisBroker, redis: Redis, run: Run) -> None:
    nothing = Closed(unpurged=frozenset({"tts"}))

    assert await broker.run(run).close() == nothing
    assert await broker.run(run).close() == nothing

    with pytest.raises(RecoveryError, match="AlreadyClosed"):
        await broker.run(run).open()
    assert await broker.holders("tts") == {}
    assert await redis.ttl(f"queuerecovery.dev:run:{run.uid}") == -1


async def test_closing_after_the_boundary_keeps_the_quarantine_and_tells_what_was_pushed(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    await broker.run(run).open()
    taken = await broker.run(run).take()
    await broker.run(run).push({run.queue: tasks(2)})

    closed = await broker.run(run).close()

    assert closed == Closed(purged=frozenset({"tts"}), taken=taken, pushed=frozenset({"0:int:0", "1:int:1"}))
    assert await broker.run(run).close() == closed


async def test_closing_before_the_boundary_gives_entries_back_and_workers_get_them_when_their_time_is_over(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", *(f"m{n}" for n in range(100)))
    application.hold("tts", 100)
    before = await everything(redis)
    await broker.run(run).open()
    await stop_before_the_boundary(broker, run)
    assert not await redis.exists("unacked")

    closed = await broker.run(run).close()

    assert closed == Closed(unpurged=frozenset({"tts"}))
    assert await everything(redis, without=["queuerecovery.dev:"]) == before
    application.disappear()
    application.channel.visibility_timeout = -1
    application.restore_visible()
    assert application.consume("tts") == [f"m{n}" for n in range(100)]


@pytest.mark.parametrize("selects", [True, False])
async def test_after_a_refusal_a_late_process_takes_nothing_from_workers(
    connect: Connect, application: Application, redis: Redis, monkeypatch: pytest.MonkeyPatch, *, selects: bool
) -> None:
    run = recovery("tts", select=PurgeSelect(tasks=["tts.render"]) if selects else None)
    late, ending = connect(), connect()
    application.enqueue("tts", "waits")
    await late.run(run).open()
    script = late.database.client.script

    async def overtaken(text: str, *words: object) -> list[bytes]:
        answer: list[bytes] = await script(text, *words)  # type: ignore[arg-type]
        monkeypatch.undo()
        await ending.run(run).refuse()
        application.enqueue("tts", "a worker's by right")
        application.hold("tts", 1)
        return answer

    monkeypatch.setattr(late.database.client, "script", overtaken)  # the first one passes the boundary
    with suppress(RecoveryError):
        await late.run(run).take()

    assert await redis.hlen("unacked") == 1
    assert (await ending.run(run).close()).was_purged


async def test_a_recovery_of_the_most_jobs_with_the_longest_names_is_taken_and_ended(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    written = [{"id": f"{n:04}" + "€" * 167} for n in range(1000)]
    spec = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts", "jobs": written})
    jobs = listed(spec)
    check_size(spec, jobs)
    longest = {job.key: f"{n:04}" + "€" * 340 for n, job in enumerate(jobs)}
    frozen = {key: SeenJob(status="é" * 512, task_id=name, recoverable=False) for key, name in longest.items()}
    application.enqueue("tts", *longest.values())
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: frozen})

    taken = await broker.run(run).take(frozen=frozen)
    await broker.run(run).push(
        {run.queue: [Task(key=key, task_id=str(uuid4()), task="t", args="[]", kwargs="{}") for key in frozen]}
    )

    assert taken.left_ids == set(longest.values())
    assert (await broker.run(run).close()).pushed == set(frozen)
    await broker.run(run).release(expires=LATER, retain=True)
    assert await broker.holders("tts") == {}


async def test_two_processes_that_close_a_run_at_once_give_every_entry_back_once(
    connect: Connect, application: Application, redis: Redis, run: Run
) -> None:
    one, other = connect(), connect()
    application.enqueue("tts", *(f"m{n}" for n in range(100)))
    application.hold("tts", 100)
    before = await everything(redis)
    await one.run(run).open()
    await stop_before_the_boundary(one, run)

    closed = await asyncio.gather(*(broker.run(run).close() for broker in (one, other, one, other)))

    assert closed == [Closed(unpurged=frozenset({"tts"}))] * 4
    assert await everything(redis, without=["queuerecovery.dev:"]) == before


async def test_an_entry_whose_delivery_tag_is_in_use_again_stays_in_the_quarantine(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held")
    application.hold("tts", 1)
    (tag,) = await redis.hkeys("unacked")
    await broker.run(run).open()
    await stop_before_the_boundary(broker, run)
    await redis.hset("unacked", tag, "another's")

    await broker.run(run).close()

    assert await redis.hgetall("unacked") == {tag: b"another's"}
    assert await redis.hexists(f"queuerecovery.dev:quarantine:{run.uid}:1:unacked", tag)
    await broker.run(run).release(expires=LATER, retain=True)
    await broker.expire_quarantines(run.cluster, is_over, LATER + timedelta(seconds=1))
    assert not await redis.keys("queuerecovery.dev:quarantine:*")


async def test_a_quarantine_that_is_not_to_be_retained_goes_at_once(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    await broker.run(run).open()
    taken = await broker.run(run).take()
    closed = await broker.run(run).close()

    await broker.run(run).release(expires=LATER, retain=False)
    await broker.run(run).release(expires=LATER, retain=False)

    assert not await redis.keys(f"{taken.quarantine}*")
    assert await broker.run(run).close() == closed


async def test_retention_unlinks_quarantines_when_due_and_records_a_week_later(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held", "waits")
    application.hold("tts", 1)
    await broker.run(run).open()
    taken = await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)
    record = f"queuerecovery.dev:run:{run.uid}"

    assert await broker.expire_quarantines(run.cluster, is_over, LATER - timedelta(seconds=1)) == 0
    assert len(await redis.keys(f"{taken.quarantine}*")) == 3
    assert await broker.expire_quarantines(run.cluster, is_over, LATER) == 1
    assert not await redis.keys(f"{taken.quarantine}*")
    assert await broker.expire_quarantines(run.cluster, is_over, LATER + timedelta(days=6, hours=23)) == 0
    assert await redis.exists(record)
    assert await broker.expire_quarantines(run.cluster, is_over, LATER + timedelta(days=7)) == 1
    assert await redis.keys() == []


async def test_retention_leaves_runs_alone_whose_recovery_is_not_over_and_looks_again_later(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "waits")
    await broker.run(run).open()
    await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)

    asked = []

    async def is_live(name: str, uid: str) -> bool:
        asked.append((name, uid))
        return True

    assert await broker.expire_quarantines(run.cluster, is_live, LATER) == 1
    assert asked == [(run.name, run.uid)]
    assert await broker.expire_quarantines(run.cluster, is_over, LATER) == 0
    assert await redis.keys("queuerecovery.dev:quarantine:*")
    assert await broker.expire_quarantines(run.cluster, is_over, LATER + timedelta(hours=1)) == 1
    assert not await redis.keys("queuerecovery.dev:quarantine:*")


async def test_retention_looks_at_all_runs_that_are_due_and_at_none_of_another_cluster(
    connect: Connect, redis: Redis
) -> None:
    broker = connect()
    for cluster in ["ours"] * 25 + ["theirs"]:
        run = recovery("tts", cluster=cluster)
        await broker.run(run).close()
        await broker.run(run).release(expires=LATER, retain=True)
    due = LATER + timedelta(days=8)

    assert [await broker.expire_quarantines("ours", is_over, due) for _ in range(2)] == [25, 0]
    assert len(await redis.keys("queuerecovery.dev:run:*")) == 1


async def test_a_record_that_is_gone_is_forgotten_by_retention(broker: RedisBroker, redis: Redis, run: Run) -> None:
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)
    await redis.delete(f"queuerecovery.dev:run:{run.uid}")

    assert await broker.expire_quarantines(run.cluster, is_over, LATER) == 1
    assert await redis.keys() == []
    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).release(expires=LATER, retain=True)
    assert await redis.keys() == []


async def is_over(_name: str, _uid: str) -> bool:
    return False


async def stop_before_the_boundary(broker: RedisBroker, run: Run) -> None:
    """Let the process die when all entries of `unacked` have been moved."""
    with dying_at(broker, Script.BOUNDARY):
        await broker.run(run).take()
