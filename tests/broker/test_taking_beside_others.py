"""Taking a queue while workers, other operators, or a consumer that nobody knows are at it too."""

import asyncio

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.layout.own_keys import OwnKeys
from queue_recovery.broker.scripts import Script
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run
from tests.broker.application import Application, everything, tasks
from tests.broker.conftest import Connect
from tests.broker.dying import dying_at


async def test_what_another_workers_restore_sweep_moves_meanwhile_is_taken_from_where_it_went(
    broker: RedisBroker, application: Application, redis: Redis, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.enqueue("tts", *(f"held-{n}" for n in range(300)))
    application.hold("tts", 300)
    application.channel.visibility_timeout = -1
    await broker.run(run).open()
    script = broker.database.client.script

    async def interrupted(*words: object) -> list[bytes]:
        monkeypatch.undo()
        answer: list[bytes] = await script(*words)  # type: ignore[arg-type]
        application.restore_visible(50)
        return answer

    monkeypatch.setattr(broker.database.client, "script", interrupted)
    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked) == (50, 250)
    assert not await redis.exists("tts", "unacked", "unacked_index")


async def test_a_consumer_that_was_not_stopped_is_reported_before_anything_irreversible(
    broker: RedisBroker, application: Application, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.enqueue("tts", *(f"m{n}" for n in range(20)))
    application.hold("tts", 1)
    await broker.run(run).open()
    script = broker.database.client.script

    async def interrupted(*words: object) -> list[bytes]:
        application.hold("tts", 1)
        return await script(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(broker.database.client, "script", interrupted)
    with pytest.raises(RecoveryError) as refused:
        await broker.run(run).take()
    assert refused.value.reason == "UnknownConsumer"
    assert "brpop" in refused.value.message
    monkeypatch.undo()
    assert not (await broker.run(run).close()).was_purged
    assert await broker.depths(["tts"]) == ({"tts": 16}, 4)


async def test_an_entry_that_comes_again_after_it_was_moved_overwrites_nothing_and_betrays_a_consumer(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held")
    application.hold("tts", 1)
    ((tag, entry),) = (await redis.hgetall("unacked")).items()
    await broker.run(run).open()
    with dying_at(broker, Script.BOUNDARY):
        await broker.run(run).take()
    await redis.hset("unacked", tag, entry + b" ")  # type: ignore[operator]

    with pytest.raises(RecoveryError, match="UnknownConsumer"):
        await broker.run(run).take()

    assert await redis.hget("unacked", tag) == entry + b" "  # type: ignore[operator]
    assert await redis.hget(OwnKeys().quarantine(run.uid, "1:unacked"), tag) == entry


async def test_a_consumer_that_shows_itself_after_the_boundary_is_reported_and_what_it_held_is_quarantined(
    broker: RedisBroker, application: Application, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    await broker.run(run).open()
    script = broker.database.client.script

    async def interrupted(*words: object) -> list[bytes]:
        answer: list[bytes] = await script(*words)  # type: ignore[arg-type]
        monkeypatch.undo()
        application.enqueue("tts", "popped before the boundary, written after it")
        application.hold("tts", 1)
        return answer

    monkeypatch.setattr(broker.database.client, "script", interrupted)
    with pytest.raises(RecoveryError, match="UnknownConsumer"):
        await broker.run(run).take()
    assert (await broker.run(run).take()).unacked == 1


async def test_a_queue_that_had_to_be_drained_again_is_taken_again_into_the_same_quarantine(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held", "first")
    application.hold("tts", 1)
    await broker.run(run).open()
    await broker.run(run).take()
    application.enqueue("tts", "held again", "second")
    application.hold("tts", 1)

    taken = await broker.run(run).take(attempt=2)

    assert (taken.ready, taken.unacked) == (2, 2)
    assert await broker.run(run).take() == taken
    assert not await redis.exists("tts", "unacked")


@pytest.mark.parametrize("held", [0, 1])
async def test_an_attempt_cannot_be_skipped(
    broker: RedisBroker, application: Application, redis: Redis, run: Run, held: int
) -> None:
    application.enqueue("tts", "held", "waits")
    application.hold("tts", held)
    await broker.run(run).open()
    before = await everything(redis)

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).take(attempt=2)

    assert await everything(redis) == before


@pytest.mark.parametrize("held", [0, 1])
async def test_once_a_job_is_enqueued_no_further_attempt_can_take_it(
    broker: RedisBroker, application: Application, redis: Redis, run: Run, held: int
) -> None:
    await broker.run(run).open()
    await broker.run(run).take()
    await broker.run(run).push({run.queue: tasks(2)})
    application.hold("tts", held)
    before = await everything(redis)

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await broker.run(run).take(attempt=2)

    assert await everything(redis) == before


async def test_two_processes_that_take_at_once_answer_the_same(
    connect: Connect, application: Application, redis: Redis, run: Run
) -> None:
    one, other = connect(), connect()
    application.enqueue("tts", *(f"m{n}" for n in range(400)))
    application.hold("tts", 350)
    await one.run(run).open()

    first, second = await asyncio.gather(one.run(run).take(), other.run(run).take())

    assert first == second
    assert (first.ready, first.unacked) == (50, 350)
    assert not await redis.exists("tts", "unacked", "unacked_index")


async def test_a_process_that_was_held_up_takes_nothing_after_another_has_completed_the_attempt(
    connect: Connect, application: Application, redis: Redis, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, other = connect(), connect()
    application.enqueue("tts", "held")
    application.hold("tts", 1)
    await late.run(run).open()
    script = late.database.client.script

    async def held_up(*words: object) -> list[bytes]:
        monkeypatch.undo()
        await other.run(run).take()
        application.enqueue("tts", "new")
        application.hold("tts", 1)
        (tag,) = await redis.hkeys("unacked")
        assert isinstance(tag, bytes)
        text, keys, arguments = words
        return await script(text, keys, [*arguments, tag])  # type: ignore[arg-type,misc]

    monkeypatch.setattr(late.database.client, "script", held_up)
    with pytest.raises(RecoveryError, match="UnknownConsumer"):
        await late.run(run).take()

    assert (await late.run(run).take()).unacked == 1
    assert await redis.hlen("unacked") == 1
