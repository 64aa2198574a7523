"""Teams that share a database, each with a prefix and with the user that docs/security.md gives to the operator."""

import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.layout.own_keys import OwnKeys
from queue_recovery.recovery.errors import RecoveryError
from sandbox.broker import Broker as Server
from tests.broker import documented
from tests.broker.application import Application, everything, recovery, restoring, selecting, tasks
from tests.broker.conftest import Connect

PREFIXES = ["", "a.", "b."]
FORBIDDEN = [["DUMP"], ["TYPE"], ["DEL"], ["HGETALL"], ["LRANGE", "0", "-1"], ["SET", "x"], ["HSET", "a", "b"]]


@pytest.fixture
async def urls(server: Server, redis: Redis) -> dict[str, str]:
    """The URL of each team's user, by its prefix."""
    found = {}
    for number, prefix in enumerate(PREFIXES):
        words = ("ACL", "SETUSER", f"team-{number}", "reset", *documented.rules(prefix))
        await redis.execute_command(*words)  # type: ignore[no-untyped-call]
        found[prefix] = f"redis://team-{number}:PASSWORD@127.0.0.1:{server.port}/0"
    return found


async def none_lives(_: str, __: str) -> bool:
    """Tell that a recovery does not exist any more."""
    return False


async def recover(broker: RedisBroker, application: Application) -> None:
    """Use all that a recovery uses; leave one that has messages of both queues in its quarantine."""
    application.enqueue("tts", "held", "waits", "stays")
    application.enqueue("tts", "urgent", priority=9)
    application.hold("tts", 1)
    application.disappear()
    await broker.check()
    await broker.check_queue("tts")
    await broker.unlisted(["tts", "mail"])
    await broker.depths(["tts", "mail"])
    await broker.unacked(["tts", "mail"])
    await broker.consumers()
    run = selecting(task_ids=["held", "waits", "urgent"])
    await broker.count("tts", select=run.select)
    await broker.run(run).open()
    assert (await broker.holders("tts"))["tts"].uid == run.uid
    await broker.run(run).freeze({run.queue: {"0:int:0": None}})
    await broker.run(run).take()
    await broker.run(run).push({run.queue: tasks(2)})
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC) + timedelta(days=1), retain=True)
    back = restoring(run, task_ids=["held"])
    await broker.run(back).open()
    assert (await broker.run(back).restore()).restored == 1
    await broker.run(back).close()
    await broker.run(back).release(expires=datetime.now(UTC), retain=False)
    await broker.expire_quarantines(run.cluster, none_lives, datetime.now(UTC))


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_the_documented_user_is_enough_and_every_key_is_below_the_teams_prefix(
    connect: Connect, redis: Redis, server: Server, urls: dict[str, str], prefix: str
) -> None:
    broker = connect(TransportOptions(global_key_prefix=prefix), url=urls[prefix])

    with Application.connected(server.url, global_keyprefix=prefix) as application:
        await recover(broker, application)

    keys = await redis.keys()
    assert len(keys) > 5
    assert all(os.fsdecode(key).startswith(prefix) for key in keys)


async def test_no_team_reads_or_forges_what_the_operator_keeps_for_another_one(
    connect: Connect, redis: Redis, server: Server, urls: dict[str, str]
) -> None:
    theirs = connect(TransportOptions(global_key_prefix="b."), url=urls["b."])
    with Application.connected(server.url, global_keyprefix="b.") as application:
        await recover(theirs, application)
    running = recovery("tts")
    await theirs.run(running).open()
    before = await everything(redis)

    async with Redis.from_url(urls["a."]) as neighbour:
        for key in await redis.keys():
            for name, *arguments in FORBIDDEN:
                with pytest.raises(NoPermissionError):
                    await neighbour.execute_command(name, key, *arguments)  # type: ignore[no-untyped-call]
            with pytest.raises(Exception, match=r"can't access|NOPERM|ACL failure"):
                await neighbour.eval(f"return redis.call('TYPE', '{os.fsdecode(key)}')", 0)
        own = OwnKeys("a.")
        await neighbour.set(own.lock("b.tts"), "forged")
        await neighbour.hset(own.run(running.uid), "state", "closed")

    assert {key: value for key, value in (await everything(redis)).items() if not key.startswith(b"a.")} == before
    await theirs.run(running).take()
    await theirs.run(running).push({running.queue: tasks(1)})


@pytest.mark.parametrize("prefix", ["", "b."])
async def test_a_target_with_the_prefix_of_another_team_is_refused_before_anything_is_done(
    connect: Connect, redis: Redis, urls: dict[str, str], prefix: str
) -> None:
    broker = connect(TransportOptions(global_key_prefix=prefix), url=urls["a."])
    steps: list[Callable[[], Awaitable[object]]] = [
        broker.check,
        lambda: broker.check_queue("tts"),
        lambda: broker.holders("tts"),
        lambda: broker.run(recovery("tts")).open(),
        lambda: broker.expire_quarantines("this-cluster", none_lives, datetime.now(UTC)),
    ]

    for step in steps:
        with pytest.raises(RecoveryError, match="BrokerPermissionDenied"):
            await step()

    assert await redis.keys() == []
