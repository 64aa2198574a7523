"""A target is looked at, with a million waiting messages and 200,000 unacked ones, against a nearly empty one.

python -m benchmarks.looking [--messages 1000000] [--entries 200000] [--looks 20] [--rounds 3]
"""

from benchmarks.benchmark import Benchmark, Way
from benchmarks.server import WATCHED, Server

_SMALL = 100


async def measure(messages: int, entries: int, looks: int, rounds: int) -> list[Way]:
    """Look at both in each round."""
    small = Way(f"{_SMALL} and {_SMALL}", "")
    large = Way(f"{messages:,} and {entries:,}", small.name)
    async with Server.open() as server:
        for _ in range(rounds):
            for way, waiting, held in ((small, _SMALL, _SMALL), (large, messages, entries)):
                await server.fill(waiting, "list")
                await server.fill(held, "unacked", keep=True)
                await server.watch_looks(way, looks)
    return [small, large]


BENCHMARK = Benchmark(
    name="looking",
    title="A target is looked at",
    aim="no command of the operator's longer than 5 ms; with a look every 30 seconds under 1 % of a processor.",
    columns={
        **WATCHED,
        "seconds": "a look, seconds",
        "processor": "of a processor at a look every 30 s, %",
        "growth": "RSS that the later looks add, MB",
    },
    options={"messages": 1_000_000, "entries": 200_000, "looks": 20, "rounds": 3},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
