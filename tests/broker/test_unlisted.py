"""Queues of the broker that a target does not list."""

from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from tests.broker.application import SEP, Application, everything, recovery_of
from tests.broker.conftest import Connect


async def test_queues_that_are_not_listed_are_found_by_their_bindings_and_by_their_messages(
    connect: Connect, application: Application, redis: Redis
) -> None:
    for queue in ("tts", "mail", "idle"):
        application.bind(queue, queue, "direct", queue)
    application.bind("speech", "tasks", "topic", "speech.*")
    application.bind("celery@host.celery.pidbox", "celery.pidbox", "fanout", "")
    application.bind("0e1f.reply.celery.pidbox", "reply.celery.pidbox", "direct", "0e1f")
    application.bind("celeryev.4711", "celeryev", "topic", "#")
    application.enqueue("undeclared", "a")
    application.enqueue("low", "a", priority=9)
    application.enqueue("0e2f.reply.celery.pidbox", "an answer")
    await redis.rpush("rq:queue:default", "4711")
    await redis.rpush("report", '{"body": 1}')
    await redis.sadd("_kombu.bindings", f"a{SEP}{SEP}no binding")
    broker, runs = connect(), recovery_of("tts")
    application.enqueue("tts", "a")
    await broker.run(*runs).open()
    await broker.run(*runs).take()
    before = await everything(redis)

    found = await broker.unlisted(["tts", "mail"])

    assert (list(found.names), found.total) == (["idle", "low", "speech", "undeclared"], 4)
    assert await everything(redis) == before


async def test_as_many_queues_as_there_may_be_are_told_in_twenty_names(broker: RedisBroker, redis: Redis) -> None:
    await redis.sadd("_kombu.binding.all", *(f"{SEP}{SEP}queue-{n:04}" for n in range(1500)))

    found = await broker.unlisted(["queue-0000"])

    assert (len(found.names), found.total) == (20, 1000)


async def test_a_prefix_that_reads_as_a_pattern_is_taken_literally(connect: Connect, redis: Redis) -> None:
    await redis.sadd("a?c*_kombu.binding.x", f"{SEP}{SEP}ours")
    await redis.sadd("abc-_kombu.binding.x", f"{SEP}{SEP}another's")

    found = await connect(TransportOptions(global_key_prefix="a?c*")).unlisted([])

    assert list(found.names) == ["ours"]
