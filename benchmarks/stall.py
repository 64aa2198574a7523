"""How long another client of the broker waits while a whole queue is purged, against what people do today.

    python -m benchmarks.stall [--messages 1000000] [--rounds 5]

Each round fills a queue anew for each way of emptying it, in turn, on one server. A second process sends PING as fast
as it is answered; the longest answer counts, from the beginning of the purge on for two seconds, or as long as it
takes. `nobody` is the same without any purge: what the machine itself does to a client.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

from redis.asyncio import Redis

from queue_recovery.api.target import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.recovery.ports import Run
from sandbox.broker import Broker
from sandbox.processes import Scope

QUEUE = "tts"
KIB = 1024
_FILL_AT_ONCE = 5000
_WINDOW_SECONDS = 2.0
"""How long answers are timed at least: the same for a purge that is over at once as for one that goes on."""

Purge = Callable[[Redis, Broker], Awaitable[None]]


async def fill(redis: Redis, messages: int) -> None:
    """Push messages of 1 KiB that look like kombu's."""
    envelope = {
        "body": "x" * (KIB - 220),
        "headers": {"task": "tts.render", "id": "0" * 36},
        "properties": {"delivery_tag": "0" * 36, "delivery_info": {"exchange": "", "routing_key": QUEUE}},
    }
    message = json.dumps(envelope).encode()
    for _ in range(0, messages, _FILL_AT_ONCE):
        await redis.lpush(QUEUE, *[message] * _FILL_AT_ONCE)


async def nobody(_redis: Redis, _server: Broker) -> None:
    """Empty nothing."""


async def delete(redis: Redis, _server: Broker) -> None:
    """`DEL`."""
    await redis.delete(QUEUE)


async def unlink(redis: Redis, _server: Broker) -> None:
    """`UNLINK`."""
    await redis.unlink(QUEUE)


async def celery_purge(redis: Redis, _server: Broker) -> None:
    """What `celery purge` sends (`kombu/transport/redis.py`, `_purge`): LLEN and DEL for each priority, in a MULTI."""
    async with redis.pipeline(transaction=True) as pipeline:
        for ending in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
            pipeline.llen(QUEUE + ending)
            pipeline.delete(QUEUE + ending)
        await pipeline.execute()


async def quarantine(_redis: Redis, server: Broker) -> None:
    """The operator: open, take, close."""
    broker = RedisBroker.connect(server.url, TransportOptions())
    run = Run(uid=str(uuid4()), name="bench/stall", cluster="bench", queue=QUEUE)
    await broker.open(run)
    await broker.take(run)
    await broker.close(run)
    await broker.release(run, expires=datetime.now(UTC), keep=True)
    await broker.aclose()


WAYS: dict[str, Purge] = {
    "nobody": nobody,
    "DEL": delete,
    "celery purge": celery_purge,
    "UNLINK": unlink,
    "the operator": quarantine,
}


async def longest_answer(server: Broker, purge: Awaitable[None]) -> float:
    """Return the longest answer to a PING, in milliseconds, of a process of its own while the purge goes on."""
    prober = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.prober", str(server.port), stdin=-1, stdout=-1
    )
    if prober.stdin is None or prober.stdout is None:
        raise RuntimeError("the prober has no pipes")
    await prober.stdout.readline()
    await asyncio.gather(purge, asyncio.sleep(_WINDOW_SECONDS))
    output, _ = await prober.communicate(b"\n")
    return float(output)


async def measure(messages: int, rounds: int) -> dict[str, list[float]]:
    """Return the longest answers of each way, one a round."""
    longest: dict[str, list[float]] = {way: [] for way in WAYS}
    async with Scope.open() as scope:
        server = await Broker.start(scope, flavour="redis")
        async with Redis.from_url(server.url) as redis:
            for _ in range(rounds):
                for way, purge in WAYS.items():
                    await redis.flushall()
                    await fill(redis, messages)
                    longest[way].append(await longest_answer(server, purge(redis, server)))
    return longest


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    began = time.monotonic()
    longest = asyncio.run(measure(arguments.messages, arguments.rounds))
    peer = statistics.median(longest["UNLINK"])
    sys.stdout.write("| way | minimum ms | median ms | against UNLINK |\n|---|---|---|---|\n")
    for way, values in longest.items():
        median = statistics.median(values)
        sys.stdout.write(f"| {way} | {min(values):.2f} | {median:.2f} | {median / peer:.2f} |\n")
    sys.stdout.write(f"\n{arguments.rounds} rounds, {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
