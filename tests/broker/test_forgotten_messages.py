"""What a worker forgets is still in `unacked`, as if it was held: why an old message there proves no run time."""

import pytest
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from sandbox.broker import Broker as Server
from sandbox.processes import Process, Scope, until
from tests.broker.stuck_incident import Incident


@pytest.mark.thorough
async def test_a_message_that_a_worker_forgot_while_redis_was_away_looks_as_if_it_was_held(scope: Scope) -> None:
    server = await Server.start(scope, options=["--appendonly", "yes", "--appendfsync", "always"])
    broker = RedisBroker.connect(server.url, TransportOptions())
    async with Redis.from_url(server.url) as redis:
        incident = Incident(scope, broker, server, redis)
        worker = await incident.start()
        incident.send("tts.long", arguments=[10])
        incident.send("tts.late", arguments=[0])
        await incident.has(ready=0, unacked=1)
        held = await redis.zrange("unacked_index", 0, -1, withscores=True)

        await server.kill()
        await says(worker, "Connection to broker lost")
        await says(worker, "Cannot connect to")
        await server.restart()
        await redis.connection_pool.disconnect()
        await says(worker, "succeeded in")
        await says(worker, "Connected to", times=2)
        looks = [await incident.look() for _ in range(3)]

        assert await redis.zrange("unacked_index", 0, -1, withscores=True) == held
        assert looks == [{}] * 3
    await broker.aclose()


async def says(worker: Process, text: str, *, times: int = 1) -> None:
    """Wait until a worker has written something so often."""

    async def said() -> bool:
        return worker.log.read_text().count(text) >= times

    await until(said, f'the worker to write "{text}"', of=worker)
