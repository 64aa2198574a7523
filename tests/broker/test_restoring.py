"""Putting back what an earlier recovery took: same bytes, same order, next in turn, once; the rest stays."""

import json
from datetime import UTC, datetime, timedelta
from typing import cast
from uuid import UUID

import pytest
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Restorable, Restored, Run, SeenJob, Task
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, everything, recovery, restoring
from tests.broker.conftest import Connect
from tests.broker.dying import sends_twice

LATER = datetime(2030, 1, 1, tzinfo=UTC)


async def purge(broker: RedisBroker, run: Run, *, attempts: int = 1) -> None:
    """Take a queue whole, and end."""
    await broker.run(run).open()
    for attempt in range(1, attempts + 1):
        await broker.run(run).take(attempt=attempt)
    await end(broker, run)


async def end(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)


async def put_back(broker: RedisBroker, run: Run) -> Restored:
    """Do all of a restore; return what became of the messages."""
    await broker.run(run).open()
    restored = await broker.run(run).restore()
    closed = await broker.run(run).close()
    await broker.run(run).release(expires=LATER, retain=True)
    assert closed.restored == restored
    return restored


async def restorable(broker: RedisBroker, run: Run, queue: str = "tts") -> Restorable:
    """Count what would go back."""
    assert run.restore is not None
    return await broker.restorable(queue, run.restore)


async def test_everything_comes_back_in_its_bytes_and_its_order_before_what_came_later(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", *(f"m{n}" for n in range(250)))
    application.enqueue("tts", *(f"low{n}" for n in range(120)), priority=9)
    before = await everything(redis)
    await purge(broker, run)
    application.enqueue("tts", *(f"later{n}" for n in range(130)))
    came = cast("list[bytes]", await redis.lrange("tts", 0, -1))

    restored = await put_back(sends_twice(broker), restoring(run))

    assert restored == Restored(restored=370, left=0)
    assert await redis.lrange("tts", 0, -1) == [*came, *cast("list[bytes]", before[b"tts"])]
    assert await redis.lrange(f"tts{SEP}9", 0, -1) == before[f"tts{SEP}9".encode()]
    assert not await redis.keys("*:quarantine:*")


async def test_what_workers_held_comes_first_in_the_order_in_which_it_was_delivered(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", *(f"m{n:03}" for n in range(300)))
    application.enqueue("tts", "low-held", "low-waits", priority=6)
    held = application.hold("tts", 250)
    await redis.rename("tts", "aside")
    held += application.hold("tts", 1)
    await redis.rename("aside", "tts")
    entries = cast("dict[bytes, bytes]", await redis.hgetall("unacked"))
    await redis.zrem("unacked_index", next(tag for tag, entry in entries.items() if b'"m249"' in entry))
    await purge(broker, run)
    application.disappear()

    restored = await put_back(sends_twice(broker), restoring(run))

    assert restored == Restored(restored=302, left=0)
    state = await everything(redis)
    messages = cast("list[bytes]", [*state[b"tts"], *state[f"tts{SEP}6".encode()]])  # type: ignore[misc]
    assert {b'[%s, "", "tts"]' % message for message in messages} >= set(entries.values())
    wanted = ["m249", *(f"m{n:03}" for n in range(300) if n != 249), "low-held", "low-waits"]
    assert application.consume("tts") == wanted
    assert not await redis.keys("*:quarantine:*")


async def test_several_attempts_come_back_with_the_older_messages_first(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    await broker.run(run).open()
    wanted: list[str] = []
    for attempt, priority in ((1, 3), (2, 0), (3, 3)):
        names = [f"{attempt}-{n}" for n in range(110)]
        wanted += names if priority == 0 else []
        application.enqueue("tts", *names, priority=priority)
        application.hold("tts", 3)
        await broker.run(run).take(attempt=attempt)
    await end(broker, run)
    application.disappear()

    restored = await put_back(sends_twice(broker), restoring(run))

    assert restored == Restored(restored=330, left=0)
    assert application.consume("tts") == wanted + [f"{attempt}-{n}" for attempt in (1, 3) for n in range(110)]
    assert not await redis.keys("*:quarantine:*")


async def test_messages_that_are_named_go_back_and_the_rest_stays_in_its_order_for_the_next_one(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    names = [f"m{n:03}" for n in range(240)]
    application.enqueue("tts", *names)
    application.hold("tts", 40)
    await purge(broker, run)
    application.disappear()
    wanted = names[::7]
    some = restoring(run, task_ids=[*wanted, "never there"])

    assert await restorable(broker, some, "tts") == Restorable(found=240, restore=len(wanted))
    assert await put_back(sends_twice(broker), some) == Restored(restored=len(wanted), left=240 - len(wanted))
    assert application.consume("tts") == wanted

    rest = restoring(run)
    assert await restorable(broker, rest, "tts") == Restorable(found=240 - len(wanted), restore=240 - len(wanted))
    assert await put_back(broker, rest) == Restored(restored=240 - len(wanted), left=0)
    assert application.consume("tts") == [name for name in names if name not in wanted]
    assert await restorable(broker, restoring(run), "tts") == Restorable(found=0, restore=0)


async def test_a_message_whose_job_was_enqueued_again_goes_back_only_when_it_is_named(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    application.enqueue("tts", "old-1", "old-2", "old-3")
    await broker.run(run).open()
    seen = {f"{n}:str:{n}": SeenJob(status="failed", task_id=f"old-{n}") for n in (1, 2)}
    await broker.run(run).freeze({run.queue: {**seen, "3:str:3": None}})
    await broker.run(run).take()
    await broker.run(run).push(
        {run.queue: [Task(key="2:str:2", task_id="new-2", task="tts.render", args="[]", kwargs="{}")]}
    )
    await end(broker, run)
    assert application.consume("tts") == ["new-2"]

    assert await restorable(broker, restoring(run)) == Restorable(found=3, restore=2, again=1, again_ids=("old-2",))
    assert await put_back(broker, restoring(run)) == Restored(restored=2, left=1)
    assert application.consume("tts") == ["old-1", "old-3"]
    assert await put_back(broker, restoring(run, task_ids=["old-2"])) == Restored(restored=1, left=0)
    assert application.consume("tts") == ["old-2"]


async def test_a_run_that_took_nothing_is_not_one_whose_messages_were_put_back(broker: RedisBroker, run: Run) -> None:
    await purge(broker, run)

    assert await restorable(broker, restoring(run)) == Restorable(found=0, restore=0, took_any=False)


async def test_the_first_task_ids_of_what_only_goes_back_when_it_is_named_are_those_that_a_spec_can_name(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    names = ["x" * 257, *(f"old-{n}" for n in range(7))]
    seen = {f"{n}:str:{n}": SeenJob(status="failed", task_id=name) for n, name in enumerate(names)}
    tasks = [Task(key=key, task_id=f"new {key}", task="tts.render", args="[]", kwargs="{}") for key in seen]
    application.enqueue("tts", *names)
    application.hold("tts", 4)
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: seen})
    await broker.run(run).take()
    await broker.run(run).push({run.queue: tasks})
    await end(broker, run)

    found = await restorable(broker, restoring(run))

    assert (found.found, found.restore, found.again, len(set(found.again_ids))) == (8, 0, 8, 5)
    assert set(found.again_ids) < set(names[1:])


ODD = [b"no JSON", b"", b"null", b'{"headers": {"id": 5}}', b"\x80\x04 pickle", b'{"body": "", "properties": {}}']


async def test_what_cannot_be_read_goes_back_as_it_is_and_stays_when_it_would_have_to_be_new(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    await redis.rpush("tts", *ODD)
    application.send("tts", "readable", serializer="pickle", compression="zlib")
    (readable, *_) = cast("list[bytes]", await redis.lrange("tts", 0, -1))
    await purge(broker, run)

    assert await restorable(broker, restoring(run, as_new=True)) == Restorable(found=7, restore=1, unfit=len(ODD))
    assert await put_back(sends_twice(broker), restoring(run, as_new=True)) == Restored(restored=1, left=len(ODD))
    (new,) = cast("list[bytes]", await redis.lrange("tts", 0, -1))
    assert json.loads(new)["body"] == json.loads(readable)["body"]
    await redis.delete("tts")

    assert await put_back(sends_twice(broker), restoring(run)) == Restored(restored=len(ODD), left=0)
    assert await redis.lrange("tts", 0, -1) == ODD


DEEP = [b"[" * depth + b"]" * depth for depth in range(930, 1030)]


async def test_what_is_nested_too_deeply_or_has_too_large_a_number_to_be_written_again_stays_and_stops_nothing(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "simple")
    (simple,) = cast("list[bytes]", await redis.lrange("tts", 0, -1))
    odd = [simple.replace(b'"task"', b'"odd": %s, "task"' % one) for one in (*DEEP, b"1" * 5000)]
    await redis.lpush("tts", *odd)
    await purge(broker, run)

    planned = await restorable(broker, restoring(run, as_new=True))
    restored = await put_back(sends_twice(broker), restoring(run, as_new=True))

    assert planned.restore + planned.unfit == restored.restored + restored.left == len(odd) + 1
    assert 1 <= restored.restored < len(odd)  # how deep it may be depends on how deep the stack is
    assert await redis.llen("tts") == restored.restored
    await redis.delete("tts")
    assert (await put_back(broker, restoring(run))).restored == restored.left
    assert set(await redis.lrange("tts", 0, -1)) <= set(odd)


async def test_a_fresh_message_has_ids_of_its_own_no_past_and_the_same_body(
    broker: RedisBroker, redis: Redis, run: Run
) -> None:
    old = {
        "body": "W1tdLCB7fSwge31d",
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "id": "old",
            "root_id": "root",
            "parent_id": "parent",
            "task": "tts.render",
            "retries": 7,
            "eta": "2020-01-01T00:00:00",
            "expires": "2020-01-02T00:00:00",
            "redelivered": True,
            "group": "g",
            "group_index": 3,
            "large": 2**70,
            "timelimit": [None, 1.0],
        },
        "properties": {
            "correlation_id": "old",
            "delivery_tag": "tag",
            "priority": 0,
            "body_encoding": "base64",
            "expiration": "1000",
            "delivery_info": {"exchange": "", "routing_key": "tts", "redelivered": True},
        },
    }
    await redis.rpush("tts", *[json.dumps(old)] * 2)
    await purge(broker, run)

    await put_back(sends_twice(broker), restoring(run, as_new=True))

    one, other = map(json.loads, cast("list[bytes]", await redis.lrange("tts", 0, -1)))
    assert one["headers"]["id"] != other["headers"]["id"]
    assert one["properties"]["delivery_tag"] != other["properties"]["delivery_tag"]
    new_id = one["headers"]["id"]
    UUID(new_id)
    assert one["headers"] == {
        "id": new_id,
        "root_id": new_id,
        "parent_id": None,
        "task": "tts.render",
        "retries": 0,
        "eta": None,
        "expires": None,
        "group": "g",
        "group_index": 3,
        "large": 2**70,
        "timelimit": [None, 1.0],
    }
    tag = one["properties"]["delivery_tag"]
    assert one["properties"] == {
        "correlation_id": new_id,
        "delivery_tag": tag,
        "priority": 0,
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": "tts"},
    }
    assert one["body"] == old["body"]


async def test_two_restores_exclude_each_other_and_the_second_finds_nothing(
    broker: RedisBroker, connect: Connect, application: Application, run: Run
) -> None:
    application.enqueue("tts", "a", "b")
    await purge(broker, run)
    one, other = restoring(run), restoring(run)
    await broker.run(one).open()
    await broker.run(one).restore()

    with pytest.raises(RecoveryError, match="Locked"):
        await connect().run(other).open()
    await end(broker, one)

    assert await put_back(connect(), other) == Restored(restored=0, left=0)
    assert application.consume("tts") == ["a", "b"]


async def test_a_restore_of_another_queue_or_of_what_the_broker_never_saw_is_refused(
    broker: RedisBroker, application: Application, run: Run
) -> None:
    application.enqueue("tts", "a")
    await purge(broker, run)

    with pytest.raises(RecoveryError, match="RecoveryOfAnotherQueue"):
        await restorable(broker, restoring(run), "mail")
    with pytest.raises(RecoveryError, match="NothingToRestore"):
        await restorable(broker, restoring(recovery("tts")), "tts")


async def is_over(_: str, __: str) -> bool:
    return False


async def test_a_quarantine_is_not_unlinked_while_messages_of_it_go_back_and_is_at_once_afterwards(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "a", "b", "c")
    await purge(broker, run)
    some = restoring(run, task_ids=["b"])
    await broker.run(some).open()

    assert await broker.expire_quarantines(run.cluster, is_over, LATER) == 1
    assert await broker.run(some).restore() == Restored(restored=1, left=2)
    assert await broker.expire_quarantines(run.cluster, is_over, LATER + timedelta(minutes=1)) == 1
    assert len(await redis.keys("*:quarantine:*")) == 1
    await end(broker, some)

    assert await broker.expire_quarantines(run.cluster, is_over, LATER + timedelta(minutes=2)) == 2
    assert not await redis.keys("*:quarantine:*")
    assert application.consume("tts") == ["b"]


async def test_a_quarantine_is_unlinked_on_time_while_messages_of_another_one_go_back(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", "a")
    await purge(broker, run)
    await broker.run(restoring(recovery("tts"))).open()

    assert await broker.expire_quarantines(run.cluster, is_over, LATER) == 1

    assert not await redis.keys("*:quarantine:*")


async def test_a_full_server_takes_its_own_messages_back(
    broker: RedisBroker, application: Application, redis: Redis, run: Run
) -> None:
    application.enqueue("tts", *(f"m{n:03}" for n in range(250)))
    application.hold("tts", 30)
    await purge(broker, run)
    application.disappear()
    try:
        await redis.config_set("maxmemory", 1)
        restored = await put_back(broker, restoring(run))
    finally:
        await redis.config_set("maxmemory", 0)

    assert restored == Restored(restored=250, left=0)
    assert application.consume("tts") == [f"m{n:03}" for n in range(250)]


async def test_lists_of_a_prefix_and_of_other_separators_get_their_own_back(
    connect: Connect, server: Server, redis: Redis, run: Run
) -> None:
    options = TransportOptions(global_key_prefix="shop.", sep=":", priority_steps=[0, 5])
    broker = connect(options)
    transport = {"global_keyprefix": "shop.", "sep": ":", "priority_steps": [0, 5]}
    with Application.connected(server.url, **transport) as application:
        application.enqueue("tts", "a", "b")
        application.enqueue("tts", "low-1", "low-2", priority=7)
        application.hold("tts", 3)
        before = await redis.keys("shop.tts*")
        await purge(broker, run)
        application.disappear()

        assert await put_back(broker, restoring(run)) == Restored(restored=4, left=0)

        assert before == [b"shop.tts:5"]
        assert await redis.llen("shop.tts:5") == 2
        assert application.consume("tts") == ["a", "b", "low-1", "low-2"]
