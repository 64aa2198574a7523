"""The messages of one queue in a large, shared `unacked` are given back, against kombu's own way of doing it.

python -m benchmarks.redelivering [--entries 300000] [--peer-entries 30000] [--rounds 3]
"""

import asyncio

from kombu.connection import Connection

from benchmarks.benchmark import Benchmark, Way
from benchmarks.server import PEER, WATCHED, Server

_TAG = "{:036d}"
"""The delivery tag of an entry, by its number; every third one is of the queue."""


async def one_by_one(server: Server, entries: int) -> None:
    """Kombu's `restore_by_tag`, which its restore sweep calls for each entry, of the entries that are the queue's."""

    def restore() -> None:
        with Connection(server.broker.url) as connection:  # type: ignore[no-untyped-call]
            channel = connection.channel()
            channel.pool.connection_kwargs["client_name"] = PEER
            for number in range(3, entries + 1, 3):
                channel.qos.restore_by_tag(_TAG.format(number))

    await asyncio.to_thread(restore)


async def measure(entries: int, peer_entries: int, rounds: int) -> list[Way]:
    """Give a third back in each way in each round."""
    operator = Way(f"the operator, {entries:,}", "")
    smaller = Way(f"the operator, {peer_entries:,}", "")
    kombu = Way(f"kombu's `restore_by_tag`, {peer_entries:,}", smaller.name)
    async with Server.open() as server:
        for _ in range(rounds):
            for way, count in ((operator, entries), (smaller, peer_entries)):
                await server.fill(count, "unacked")
                await server.watch_operator(way, expected=count // 3, program="giver")
            await server.fill(peer_entries, "unacked")
            await server.watch_peer(kombu, one_by_one(server, peer_entries))
            if await server.peer.llen("tts") != peer_entries // 3:
                raise RuntimeError("kombu has given back another number of messages")
    return [operator, smaller, kombu]


BENCHMARK = Benchmark(
    name="redelivering",
    title="A third of 300,000 entries of a shared `unacked` is given back",
    aim="another client's longest wait under 20 ms, and no slower than kombu, which is told which entries it is.",
    columns=WATCHED,
    options={"entries": 300_000, "peer_entries": 30_000, "rounds": 3},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
