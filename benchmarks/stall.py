"""How long another client waits while a whole queue is purged, against the usual ways.

    python -m benchmarks.stall [--messages 1000000] [--rounds 3]

Each round fills a queue again for each way of emptying it, in turn. The other client is measured for two seconds, or as
long as the purge takes. `nobody` is the same without any purge: the delays of the machine itself. A process that only
computes shows the effect of one more busy process.
"""

from collections.abc import Callable, Coroutine

from benchmarks.benchmark import Benchmark, Way
from benchmarks.server import QUEUE, WATCHED, Server

_WINDOW_SECONDS = 2.0
"""The minimum time for which answers are measured, even if the purge is shorter."""


async def nobody(_server: Server) -> None:
    """Empty nothing."""


async def delete(server: Server) -> None:
    """`DEL`."""
    await server.peer.delete(QUEUE)


async def unlink(server: Server) -> None:
    """`UNLINK`."""
    await server.peer.unlink(QUEUE)


async def celery_purge(server: Server) -> None:
    """Send the commands of `celery purge`: LLEN and DEL for each priority, in a MULTI."""
    async with server.peer.pipeline(transaction=True) as pipeline:
        for ending in ("", "\x06\x163", "\x06\x166", "\x06\x169"):
            pipeline.llen(QUEUE + ending)
            pipeline.delete(QUEUE + ending)
        await pipeline.execute()


PEERS: dict[str, Callable[[Server], Coroutine[None, None, None]]] = {
    "nobody": nobody,
    "`DEL`": delete,
    "`celery purge`": celery_purge,
    "`UNLINK`": unlink,
}


async def measure(messages: int, rounds: int) -> list[Way]:
    """Purge in each way in each round."""
    ways = [Way(name, "`UNLINK`") for name in PEERS]
    operator, busy = Way("the operator", "`UNLINK`"), Way("a process that only computes for as long", "`UNLINK`")
    async with Server.open() as server:
        for _ in range(rounds):
            for way in ways:
                await server.fill(messages, "list")
                await server.watch_peer(way, PEERS[way.name](server), seconds=_WINDOW_SECONDS)
            await server.fill(messages, "list")
            await server.watch_operator(operator, expected=messages, seconds=_WINDOW_SECONDS)
            await server.watch_busy(busy, operator.rounds["seconds"][-1], seconds=_WINDOW_SECONDS)
    return [*ways, operator, busy]


BENCHMARK = Benchmark(
    name="stall",
    title="A queue of a million messages is purged whole",
    aim="no command of the operator's longer than 1 ms; another client's longest wait at most that of `UNLINK`.",
    columns=WATCHED,
    options={"messages": 1_000_000, "rounds": 5},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
