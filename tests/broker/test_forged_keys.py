"""What somebody else has written into the operator's keys: each step refuses it by name."""

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Self

import pytest
from redis.asyncio import Redis

from queue_recovery.api.reasons import Outcome
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.layout.own_keys import OwnKeys
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Run, SeenJob
from tests.broker.application import Application, recovery, restoring, selecting, tasks

Step = Callable[[RedisBroker, Run], Awaitable[object]]

NOW = datetime.now(UTC)
JUNK = [b"", b"x", b"-1", b"1.5", b"\xff\xfe", b"[]", b'{"status": 1, "taskId": []}', b"9" * 400]
OTHER_FIELDS = [
    b"taken:../x",
    b"taken:1:unacked",
    b"unsorted",
    b"unsorted:1:ready:0",
    b"left:1:ready:x",
    b"large:1:unacked",
    b"seen:0:int:0",
]
WRONG_TYPES = [("SET", "x"), ("LPUSH", "x"), ("SADD", "x"), ("HSET", "x", "y"), ("ZADD", "1", "x")]


async def gone(_: str, __: str) -> bool:
    """Tell that a recovery does not exist any more."""
    return False


async def _open(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).open()


async def _freeze(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).freeze({run.queue: {"0:int:0": SeenJob(status="failed", task_id="old")}})


async def _take(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).take(attempt=2)


async def _push(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).pushed()
    await broker.run(run).push({run.queue: tasks(3)})


async def _end(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).close()
    await broker.run(run).release(expires=NOW, retain=True)


async def _drop(broker: RedisBroker, run: Run) -> None:
    await broker.run(run).close()
    await broker.run(run).release(expires=NOW, retain=False)


async def _look(broker: RedisBroker, run: Run) -> None:
    await broker.holders("tts", "mail")
    restore = restoring(run).restore
    assert restore
    await broker.restorable("tts", restore)


async def _expire(broker: RedisBroker, run: Run) -> None:
    await broker.expire_quarantines(run.cluster, gone, NOW + timedelta(days=1))


STEPS: Mapping[str, Step] = {
    "open": _open,
    "freeze": _freeze,
    "take": _take,
    "push": _push,
    "end": _end,
    "drop": _drop,
    "look": _look,
    "expire": _expire,
}


class Prepared:
    """A database in which a recovery of a part of the queue is as far as one step needs, as often as it is wanted."""

    def __init__(self, redis: Redis, run: Run, dumps: Mapping[bytes, bytes]) -> None:
        """Take all keys of the database."""
        self.run = run
        self._redis = redis
        self._dumps = dumps

    @classmethod
    async def before(cls, step: str, redis: Redis, application: Application, broker: RedisBroker) -> Self:
        """Go there."""
        run = selecting(task_ids=["held", "waits"])
        application.enqueue("tts", "held", "waits", "stays")
        application.hold("tts", 1)
        await broker.run(run).open()
        if step in {"push", "end", "drop", "look", "expire"}:
            await broker.run(run).freeze({run.queue: {"0:int:0": SeenJob(status="failed", task_id="old")}})
            await broker.run(run).take()
            await broker.run(run).push({run.queue: tasks(1)})
        if step in {"look", "expire"}:
            await _end(broker, run)
        application.disappear()
        return cls(redis, run, {os.fsencode(key): await redis.dump(key) or b"" for key in await redis.keys()})

    @property
    def keys(self) -> list[bytes]:
        """The operator's own."""
        return [key for key in self._dumps if key.startswith(b"queuerecovery.dev:")]

    async def again(self) -> None:
        """Put everything back."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.flushall()
            for key, dump in self._dumps.items():
                pipeline.restore(key, 0, dump)
            await pipeline.execute()


async def refusal(step: str, broker: RedisBroker, run: Run, what: object) -> str | None:
    """Take a step; return the message of its refusal. Anything but a refusal by name is the operator's fault."""
    try:
        await STEPS[step](broker, run)
    except RecoveryError as error:
        if error.outcome is Outcome.UNAVAILABLE:
            raise
        return error.message
    except Exception as error:
        raise AssertionError(f"{step} with {what} raised {error!r}") from error
    return None


@pytest.mark.parametrize("step", STEPS)
async def test_a_value_that_somebody_else_has_written_into_a_run_is_refused_by_name(
    broker: RedisBroker, application: Application, redis: Redis, step: str
) -> None:
    prepared = await Prepared.before(step, redis, application, broker)
    key = OwnKeys().run(prepared.run.uid)
    fields = [*await redis.hkeys(key), *OTHER_FIELDS]
    refusals = []

    for field, junk in product(fields, JUNK):
        await prepared.again()
        await redis.hset(key, field, junk)
        refusals.append(await refusal(step, broker, prepared.run, (field, junk)))

    # To take a lock that one holds already, and to see that it is still held, does not read what the run says.
    assert any(key in (message or "") for message in refusals) or step == "open"


@pytest.mark.parametrize("step", STEPS)
async def test_a_key_of_the_operators_that_is_of_another_type_is_refused_by_name(
    broker: RedisBroker, application: Application, redis: Redis, step: str
) -> None:
    prepared = await Prepared.before(step, redis, application, broker)

    for key, command in product(prepared.keys, WRONG_TYPES):
        await prepared.again()
        await redis.delete(key)
        await redis.execute_command(command[0], key, *command[1:])  # type: ignore[no-untyped-call]
        await refusal(step, broker, prepared.run, (key, command))


@pytest.mark.parametrize(
    "forged",
    [
        {"name": "../secrets", "list": "tts", "expires": "1"},
        {"name": "media/it", "list": "tts", "expires": "soon"},
        {"name": "media/it", "list": "tts"},
        {"taken:1:ready:0": "many", "name": "media/it", "list": "tts", "expires": "1"},
        {"lost": "many", "name": "media/it", "list": "tts", "expires": "1"},
        {},
    ],
)
async def test_a_forged_run_in_the_index_does_not_stop_the_retention_of_others(
    broker: RedisBroker, application: Application, redis: Redis, forged: Mapping[str, str]
) -> None:
    own, runs = OwnKeys(), []
    for _ in range(2):
        runs.append(recovery("tts"))
        application.enqueue("tts", "poison")
        await broker.run(runs[-1]).open()
        await broker.run(runs[-1]).take()
        await _end(broker, runs[-1])
    if forged:
        for name, value in forged.items():
            await redis.hset(own.run("forged"), name, value)
    else:
        await redis.set(own.run("forged"), "x")
    await redis.zadd(own.runs(runs[0].cluster), {b"forged": 0, b"\xff\xfe": 0})
    asked: list[str] = []

    async def asked_for(name: str, _: str) -> bool:
        asked.append(name)
        return False

    with pytest.raises(RecoveryError, match=r"BrokerLostData|WrongKeyType"):
        await broker.expire_quarantines(runs[0].cluster, asked_for, NOW + timedelta(seconds=1))

    assert not await redis.keys("queuerecovery.dev:quarantine:*")
    assert set(asked) <= {"media/tts-wrong-shape", "media/it"}
    assert await broker.expire_quarantines(runs[0].cluster, asked_for, NOW + timedelta(seconds=2)) == 0, (
        "it is looked at later"
    )
    assert await redis.exists(own.run("forged"))


@pytest.mark.parametrize("command", WRONG_TYPES[1:], ids=lambda command: command[0])
async def test_a_lock_of_another_type_is_refused_by_name_before_anything_is_done(
    broker: RedisBroker, redis: Redis, command: tuple[str, ...]
) -> None:
    lock = OwnKeys().lock("tts")
    await redis.execute_command(command[0], lock, *command[1:])  # type: ignore[no-untyped-call]

    for step in (broker.holders("mail", "tts"), broker.run(recovery("tts")).open()):
        with pytest.raises(RecoveryError) as refused:
            await step
        assert refused.value.reason == "WrongKeyType"
