"""A third of a large, shared `unacked` is taken, against one Lua script over all of it.

python -m benchmarks.unacked [--entries 200000] [--rounds 3]
"""

from benchmarks.benchmark import Benchmark, Way
from benchmarks.server import QUEUE, WATCHED, Server

_IN_ONE_SCRIPT = """
local all = redis.call('HGETALL', 'unacked')
for i = 1, #all, 2 do
  if cjson.decode(all[i + 1])[3] == ARGV[1] then
    redis.call('HDEL', 'unacked', all[i])
    redis.call('ZREM', 'unacked_index', all[i])
    redis.call('HSET', 'taken', all[i], all[i + 1])
  end
end
"""


async def in_one_script(server: Server) -> None:
    """One Lua script over all, with cjson."""
    await server.peer.eval(_IN_ONE_SCRIPT, 0, QUEUE)


async def measure(entries: int, rounds: int) -> list[Way]:
    """Take a third in each way in each round."""
    operator = Way("the operator", "")
    script = Way("one Lua script over all", operator.name)
    async with Server.open() as server:
        for _ in range(rounds):
            await server.fill(entries, "unacked")
            await server.watch_operator(operator, expected=entries // 3)
            await server.fill(entries, "unacked")
            await server.watch_peer(script, in_one_script(server))
    return [operator, script]


BENCHMARK = Benchmark(
    name="unacked",
    title="A third of 200,000 entries of a shared `unacked` is taken",
    aim="another client's longest wait under 20 ms.",
    columns=WATCHED,
    options={"entries": 200_000, "rounds": 3},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
