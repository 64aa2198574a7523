"""Lists that are not Celery's are refused: before anything is done, at the lock, and inside the boundary."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run
from tests.broker.application import SEP, Application, restoring
from tests.broker.conftest import Connect


@pytest.mark.parametrize(
    ("prefix", "queue", "program"),
    [("", "rq:queue:high", "RQ"), ("", "dramatiq:default", "Dramatiq"), ("rq:", "x", "RQ")],
)
async def test_queues_of_other_programs_are_refused_by_their_names(
    connect: Connect, prefix: str, queue: str, program: str
) -> None:
    broker = connect(TransportOptions(global_key_prefix=prefix))

    with pytest.raises(RecoveryError, match=program) as refused:
        await broker.check_queue(queue)
    assert refused.value.reason == "ForeignQueue"


@pytest.mark.parametrize("message", ['{"id": 1, "task": "x"}', '["a", "b"]', '"a string"', "17", '{"body": ""}'])
async def test_a_list_of_json_that_is_no_envelope_is_refused(broker: RedisBroker, redis: Redis, message: str) -> None:
    await redis.rpush("tts", *[message] * 10)

    with pytest.raises(RecoveryError, match="ForeignQueue"):
        await broker.check_queue("tts")


@pytest.mark.parametrize("odd", [b"\x80\x04 pickle", b"{cut", b"", b"null"])
async def test_a_list_of_which_nothing_can_be_read_is_refused_unless_it_is_asked_for(
    broker: RedisBroker, redis: Redis, odd: bytes
) -> None:
    await redis.rpush("tts", *[odd] * 10)

    with pytest.raises(RecoveryError, match=r"ForeignQueue.*purge\.takeUnreadable: true"):
        await broker.check_queue("tts")
    await broker.check_queue("tts", take_unreadable=True)


async def test_one_envelope_at_either_end_makes_a_queue_celerys(
    broker: RedisBroker, application: Application, redis: Redis
) -> None:
    application.enqueue("tts", "good")
    await redis.lpush("tts", *['"poison"'] * 10)

    await broker.check_queue("tts")


async def test_an_empty_queue_is_fine(broker: RedisBroker) -> None:
    await broker.check_queue("tts")


async def test_a_list_that_has_become_another_programs_since_the_lock_is_not_taken(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "held")
    application.hold("tts", 1)
    application.disappear()
    before = await redis.hgetall("unacked")
    await broker.run(run).open()
    await redis.rpush("tts", *[b"\x80\x04 pickle"] * 10)
    await redis.rpush(f"tts{SEP}3", b"x")

    with pytest.raises(RecoveryError, match="ForeignQueue"):
        await broker.run(run).take()
    await broker.run(run).close()

    assert await redis.hgetall("unacked") == before
    assert await redis.lrange("tts", 0, -1) == [b"\x80\x04 pickle"] * 10
    assert await redis.lrange(f"tts{SEP}3", 0, -1) == [b"x"]


@pytest.mark.parametrize("select", [None, PurgeSelect(min_retries=1)])
async def test_messages_that_cannot_be_read_are_taken_and_put_back_when_they_are_asked_for(
    broker: RedisBroker, redis: Redis, run: Run, select: PurgeSelect | None
) -> None:
    messages = [b"\x80\x04 pickle %d" % n for n in range(10)]
    await redis.rpush("tts", *messages)
    run = replace(run, select=select, take_unreadable=True)

    await broker.run(run).open()
    taken = await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)

    assert (taken.ready, taken.left) == ((10, 0) if select is None else (0, 10))
    if select is None:
        back = restoring(run)
        await broker.run(back).open()
        await broker.run(back).restore()
    assert await redis.lrange("tts", 0, -1) == messages
