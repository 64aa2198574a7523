"""A third of a queue is taken and the rest stays in order, against the usual ways.

    python -m benchmarks.selective [--messages 1000000] [--peer-messages 20000] [--rounds 3]

`LRANGE` and `LREM` in a loop takes time by the square of the depth, hours for a million, so it gets fewer messages; the
operator runs with as few for comparison. Neither peer stores what it takes: the operator does.
"""

from typing import cast

from benchmarks.benchmark import Benchmark, Way
from benchmarks.server import QUEUE, TASKS, WATCHED, Server
from queue_recovery.api.select import PurgeSelect
from queue_recovery.broker.layout.envelope import read_json
from queue_recovery.broker.run.selection import Selection

_TASK = TASKS[0]
_PORTION = 1000

_IN_ONE_SCRIPT = """
for _ = 1, redis.call('LLEN', KEYS[1]) do
  local message = redis.call('LPOP', KEYS[1])
  if cjson.decode(message)['headers']['task'] ~= ARGV[1] then redis.call('RPUSH', KEYS[1], message) end
end
"""


async def in_one_script(server: Server) -> None:
    """One Lua script over all, with cjson."""
    await server.peer.eval(_IN_ONE_SCRIPT, 1, QUEUE, _TASK)


async def in_a_loop(server: Server) -> None:
    """LRANGE, and LREM of each message that matches."""
    selection = Selection(PurgeSelect(tasks=[_TASK]))
    first = 0
    while messages := cast("list[bytes]", await server.peer.lrange(QUEUE, first, first + _PORTION - 1)):
        poison = [message for message in messages if selection.matches(read_json(message))]
        for message in poison:
            await server.peer.lrem(QUEUE, 1, message)  # type: ignore[arg-type]  # bytes work as well as text
        first += len(messages) - len(poison)


async def measure(messages: int, peer_messages: int, rounds: int) -> list[Way]:
    """Take a third in each way in each round."""
    whole, few = (Way(f"the operator, {count:,}", "") for count in (messages, peer_messages))
    script = Way(f"Lua with cjson, {messages:,}", whole.name)
    loop = Way(f"`LRANGE` and `LREM`, {peer_messages:,}", few.name)
    async with Server.open() as server:
        for _ in range(rounds):
            for way, count in ((whole, messages), (few, peer_messages)):
                await server.fill(count, "list")
                await server.watch_operator(way, _TASK, expected=count)
            for way, count, purge in ((script, messages, in_one_script), (loop, peer_messages, in_a_loop)):
                await server.fill(count, "list")
                await server.watch_peer(way, purge(server))
    return [whole, script, few, loop]


BENCHMARK = Benchmark(
    name="selective",
    title="A third of a million messages is taken, the rest keeps its order",
    aim="under 20 s, another client's longest wait under 20 ms, the operator under 150 MB.",
    columns=WATCHED,
    options={"messages": 1_000_000, "peer_messages": 20_000, "rounds": 3},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
