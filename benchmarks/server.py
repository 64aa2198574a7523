"""A broker to measure on: fill it, and time how long its other clients have to wait."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis

from benchmarks.benchmark import Way
from sandbox.broker import Broker
from sandbox.processes import ROOT, Scope

QUEUE = "tts"
TASKS = ("tts.render", "tts.index", "tts.clean")
"""Tasks of the messages, in turn."""

PEER = "peer"
"""Name of the connections of the peers."""

_FILL_AT_ONCE = 5000
_NOTED_MICROSECONDS = 50
"""The server logs commands that take longer."""

_NOTED_AT_MOST = 1_000_000

_FILL = """
local function message(queue, number)
  local task = ({'tts.render', 'tts.index', 'tts.clean'})[number % 3 + 1]
  local id = string.format('%036d', number)
  return table.concat({
    '{"body": "', ARGV[3], '", "content-encoding": "utf-8", "content-type": "application/json", "headers": {"lang": ',
    '"py", "task": "', task, '", "id": "', id, '", "retries": 0, "root_id": "', id, '", "argsrepr": "()", "origin": ',
    '"gen1@host"}, "properties": {"correlation_id": "', id, '", "delivery_mode": 2, "delivery_info": {"exchange": "", ',
    '"routing_key": "', queue, '"}, "priority": 0, "body_encoding": "base64", "delivery_tag": "', id, '"}}'}), id
end
for number = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  if ARGV[4] == 'list' then
    redis.call('LPUSH', 'tts', (message('tts', number)))
  else
    local queue = number % 3 == 0 and 'tts' or 'mail'
    local text, id = message(queue, number)
    redis.call('HSET', 'unacked', id, '[' .. text .. ', "", "' .. queue .. '"]')
    redis.call('ZADD', 'unacked_index', 1700000000 + number, id)
  end
end
"""
_COMPUTE = """
import sys, time
print(flush=True)
sys.stdin.readline()
until = time.perf_counter() + float(sys.argv[1])
while time.perf_counter() < until:
    pass
"""
_BODY = "x" * 500
"""Fills a message up to 1 KiB."""


WATCHED = {
    "seconds": "seconds",
    "stall": "another client's longest wait, ms",
    "command": "longest command of it, ms",
    "memory": "operator's RSS, MB",
}
"""The figures of a purge. A wait includes all delays of the machine, unlike the server's own time."""


class Server:
    """A broker for one benchmark."""

    def __init__(self, broker: Broker, redis: Redis) -> None:
        """Store a running broker, and a connection to fill it."""
        self.broker = broker
        self.peer = Redis.from_url(broker.url, client_name=PEER, socket_timeout=None)
        self._redis = redis

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Server"]:
        """Start a broker, and end it with the block."""
        options = ["--slowlog-log-slower-than", str(_NOTED_MICROSECONDS), "--slowlog-max-len", str(_NOTED_AT_MOST)]
        async with Scope.open() as scope:
            broker = await Broker.start(scope, options=options)
            async with Redis.from_url(broker.url) as redis:
                server = cls(broker, redis)
                async with server.peer:
                    yield server

    async def fill(self, count: int, where: str, *, keep: bool = False) -> None:
        """Replace its data by messages of 1 KiB in the `list` or in `unacked`; with `keep`, add them.

        A third of those in `unacked` are of the queue.
        """
        if not keep:
            await self._redis.flushall()
        for first in range(1, count + 1, _FILL_AT_ONCE):
            last = min(count, first + _FILL_AT_ONCE - 1)
            await self._redis.eval(_FILL, 0, first, last, _BODY, where)

    async def watch_operator(
        self, way: Way, *tasks: str, expected: int, seconds: float = 0, program: str = "taker"
    ) -> None:
        """Purge, or give back, by a process of the operator, and add its figures and the others' waits."""
        output = await self._watch_process(way, ["-m", f"benchmarks.{program}", self.broker.url, *tasks], seconds)
        done = json.loads(output)
        if done["taken"] + done["left"] != expected:
            raise RuntimeError(f"the operator has taken {done['taken']} and left {done['left']} of {expected}")
        way.note(seconds=done["seconds"], memory=done["memory"])

    async def watch_looks(self, way: Way, looks: int) -> None:
        """Look at a target so often, and add the figures and the others' waits."""
        output = await self._watch_process(way, ["-m", "benchmarks.looker", self.broker.url, str(looks)], 0)
        way.note(**json.loads(output))

    async def watch_busy(self, way: Way, busy: float, seconds: float = 0) -> None:
        """Let a process compute for this time without the server; add the others' waits."""
        await self._watch_process(way, ["-c", _COMPUTE, str(busy)], seconds)
        way.note(seconds=busy)

    async def _watch_process(self, way: Way, arguments: Sequence[str], seconds: float) -> bytes:
        """Let a Python process continue once it prints that it is ready; return its output."""
        process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdin=-1, stdout=-1, cwd=ROOT)
        if process.stdout is None:
            raise RuntimeError("the process has no pipes")
        await process.stdout.readline()
        async with self._watched(way, "queue-recovery"):
            (output, _), _ = await asyncio.gather(process.communicate(b"\n"), asyncio.sleep(seconds))
        return output

    async def watch_peer(self, way: Way, purge: Coroutine[None, None, None], seconds: float = 0) -> None:
        """Let a peer purge; add its duration and the others' waits."""
        async with self._watched(way, PEER):
            began = time.monotonic()
            await purge
            way.note(seconds=time.monotonic() - began)
            await asyncio.sleep(seconds)

    @asynccontextmanager
    async def _watched(self, way: Way, name: str) -> AsyncIterator[None]:
        """Time another client's answers while the block runs, and the commands of these connections."""
        await self._redis.slowlog_reset()
        prober = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.prober", str(self.broker.port), stdin=-1, stdout=-1, cwd=ROOT
        )
        if prober.stdin is None or prober.stdout is None:
            raise RuntimeError("the prober has no pipes")
        await prober.stdout.readline()
        yield
        output, _ = await prober.communicate(b"\n")
        noted = await self._redis.slowlog_get(_NOTED_AT_MOST)
        longest = max((one["duration"] for one in noted if one["client_name"] == name.encode()), default=0)
        way.note(stall=float(output), command=max(longest, _NOTED_MICROSECONDS) / 1000)
