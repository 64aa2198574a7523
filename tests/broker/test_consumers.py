"""Who waits for messages, as CLIENT LIST of real servers tells it."""

import asyncio

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.health import consumers
from queue_recovery.broker.connection.replies import LARGEST_REPLY
from queue_recovery.recovery.ports import Consumer
from sandbox.broker import Broker as Server
from sandbox.processes import until
from tests.broker.conftest import Connect

REDIS_7_0 = """\
id=4 addr=10.1.0.7:34426 laddr=10.1.0.2:6379 fd=7 name= age=91 idle=1 flags=b db=3 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 \
qbuf-free=20474 argv-mem=15 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 tot-mem=22319 events=r cmd=brpop \
user=default redir=-1 resp=3
id=5 addr=10.1.0.9:34434 laddr=10.1.0.2:6379 fd=8 name= age=0 idle=0 flags=N db=3 sub=0 psub=0 ssub=0 multi=-1 qbuf=26 \
qbuf-free=20448 argv-mem=10 multi-mem=0 rbs=16384 rbp=16384 obl=0 oll=0 omem=0 tot-mem=37658 events=r \
cmd=client|list user=default redir=-1 resp=3
id=6 addr=10.1.0.7:34440 laddr=10.1.0.2:6379 fd=9 name= age=90 idle=9 flags=b db=0 sub=0 psub=0 ssub=0 multi=-1 qbuf=0 \
qbuf-free=20474 argv-mem=15 multi-mem=0 rbs=1024 rbp=0 obl=0 oll=0 omem=0 tot-mem=22319 events=r cmd=brpop \
user=default redir=-1 resp=2
"""

VALKEY_9_1 = """\
id=4 addr=[fd00::7]:50708 laddr=[fd00::2]:6379 fd=9 name= age=91 idle=0 flags=N capa= db=3 sub=0 psub=0 ssub=0 \
multi=-1 watch=0 qbuf=0 qbuf-free=0 argv-mem=15 multi-mem=0 rbs=1032 rbp=0 obl=0 oll=0 omem=0 tot-mem=1663 events=r \
cmd=brpop user=default redir=-1 resp=3 lib-name=redis-py lib-ver=8.1.0 tot-net-in=293 tot-net-out=294 tot-cmds=4
"""


@pytest.mark.parametrize(
    ("listed", "address"),
    [(REDIS_7_0, "10.1.0.7"), (VALKEY_9_1, "fd00::7"), ("", None)],
    ids=["redis", "valkey", "none"],
)
async def test_only_those_that_wait_in_the_database_count(listed: str, address: str | None) -> None:
    expected = [] if address is None else [Consumer(id="4", address=address, age_seconds=91)]
    assert await consumers(listed.encode(), 3) == expected


async def test_a_connection_that_waits_is_seen_as_long_as_it_lasts(
    broker: RedisBroker, server: Server, redis: Redis
) -> None:
    async def seen(count: int) -> bool:
        return [one.address for one in await broker.consumers() or ()] == ["127.0.0.1"] * count

    async with Redis.from_url(server.url) as worker:
        waiting = asyncio.ensure_future(worker.brpop(["tts"], timeout=0))
        await until(lambda: seen(1), "the connection to be seen")
        await redis.lpush("tts", "m")
        await waiting
    await until(lambda: seen(0), "the connection to be gone")


async def test_where_the_acl_does_not_grant_it_nobody_is_seen(connect: Connect, redis: Redis) -> None:
    await redis.acl_setuser("limited", enabled=True, passwords=["+secret"], keys=["*"], commands=["+@all", "-client"])
    port = redis.connection_pool.connection_kwargs["port"]
    limited = connect(url=f"redis://limited:secret@127.0.0.1:{port}/0")
    try:
        assert await limited.consumers() is None
    finally:
        await redis.acl_deluser("limited")


async def test_a_list_that_another_client_made_too_large_is_as_one_that_is_not_granted(
    broker: RedisBroker, server: Server, redis: Redis
) -> None:
    await redis.config_resetstat()
    async with Redis.from_url(server.url, db=3, single_connection_client=True) as neighbour:
        await neighbour.client_setname("x" * (LARGEST_REPLY + 1))

        assert await broker.consumers() is None

        assert (await redis.info("commandstats"))["cmdstat_client|list"]["calls"] == 1
        assert broker.is_sound
        assert await broker.depths(["tts"]) == ({"tts": 0}, 0)
