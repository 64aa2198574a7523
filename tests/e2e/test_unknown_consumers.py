"""A real worker that no target lists consumes the queue while it is recovered."""

import asyncio
import json
from contextlib import suppress

import pytest
from redis.asyncio import Redis

from sandbox.processes import until
from tests.e2e.team import CELERY, Team, envelope

_FOREIGN = 20_000
"""Entries of another queue in `unacked`: a look through them takes long enough for the stranger to add some."""

_PAUSE_SECONDS = 0.002
"""Between two messages of the producer."""

_MUCH_LATER = "2099-01-01T00:00:00+00:00"
"""The ETA of its messages: a worker that takes one holds it until then."""


@pytest.mark.thorough
async def test_a_worker_that_the_target_does_not_list_is_reported_and_nothing_is_lost_in_any_case(
    team: Team,
) -> None:
    foreign = [part for n in range(_FOREIGN) for part in (f"foreign-{n}", envelope_in_unacked("mail"))]
    await team.redis.hset("unacked", items=foreign)
    await team.workers(replicas=1)
    await team.target(store=False)
    await team.workers("stranger", replicas=1, command=CELERY)
    ids: list[str] = []
    enough = asyncio.Event()
    producing = asyncio.create_task(_produce(team, ids, enough))

    async def runs() -> bool:
        return await team.redis.hlen("unacked") > _FOREIGN

    await until(runs, "the unknown worker to run")
    await team.recovery("first")
    assert "CLIENT LIST" in await team.waits("UnknownConsumer", "first")
    assert await team.replicas() == 0
    await team.change("first", cancel=True)
    await team.reached("Cancelled", "first")
    assert await team.replicas() == 1
    assert await team.redis.keys("queuerecovery.dev:quarantine:*") == []

    await team.recovery("second")
    await team.waits("UnknownConsumer", "second")
    enough.set()
    await producing
    await team.kubectl("scale", "deployment/stranger", "--replicas=0")
    status = await team.reached("Succeeded", "second")

    assert await team.replicas() == 1
    assert await team.queued() == []
    assert await team.redis.hlen("unacked") == _FOREIGN
    quarantined = await _quarantined(team)
    assert status["messages"]["quarantined"] == len(quarantined)
    assert sorted(quarantined) == sorted(ids)


async def _produce(team: Team, ids: list[str], enough: asyncio.Event) -> None:
    """Enqueue messages at a rate until there are enough, and note their ids. A cancellation might be swallowed."""
    while not enough.is_set():
        ids.append(f"t{len(ids)}")
        await team.redis.lpush("work", envelope(ids[-1], eta=_MUCH_LATER))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PAUSE_SECONDS):
                await enough.wait()


async def test_a_connection_that_outlives_its_pod_is_waited_for_until_it_is_gone(team: Team) -> None:
    # Else a server takes connections from one loopback address only.
    broker = await team.sandbox.start_broker(options=["--protected-mode", "no"])
    await team.secrets(redis=broker.url)
    await team.workers(replicas=1)
    await team.target()
    (pod,) = json.loads(await team.kubectl("get", "pods", "-o", "json"))["items"]
    address = pod["status"]["podIP"]
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port, local_addr=(address, 0))
    writer.write(b"BRPOP nothing 0.01\r\n")
    assert await reader.readline() == b"*-1\r\n"

    async def older_than_what_follows() -> bool:
        async with Redis.from_url(broker.url) as redis:
            clients = await redis.client_list()
        return any(one["addr"].startswith(address) and int(one["age"]) > 1 for one in clients)

    await until(older_than_what_follows, "the connection to be some seconds old")
    await team.recovery(jobs=[{"task": "work.run"}])  # its broker is not the team's, and has no message

    message = await team.waits("UnknownConsumer")
    assert f"a worker at {address}" in message
    assert await team.replicas() == 0
    writer.close()
    await team.reached("Succeeded")
    assert await team.replicas() == 1


def envelope_in_unacked(queue: str) -> bytes:
    """Return an entry of `unacked`: a message, its exchange and its routing key."""
    return b'[%s,"","%s"]' % (envelope("m", queue), queue.encode())


async def _quarantined(team: Team) -> list[str]:
    """Return the task id of each message in a quarantine."""
    found: list[bytes | str] = []
    for key in await team.redis.keys("queuerecovery.dev:quarantine:*"):
        kind = await team.redis.type(key)
        if kind == b"list":
            found += await team.redis.lrange(key, 0, -1)
        elif kind == b"hash":
            found += [json.dumps(json.loads(one)[0]).encode() for one in await team.redis.hvals(key)]
    return [json.loads(one)["headers"]["id"] for one in found]
