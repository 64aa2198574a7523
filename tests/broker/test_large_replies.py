"""A server that answers with more than it was asked for: the connection ends with a reason, and nothing is kept."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import repeat

import hiredis
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import exceptions
from redis.asyncio import Redis

from queue_recovery.api.servers import TransportOptions
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.replies import LARGEST_REPLY, Measure, ReplyTooLargeError
from queue_recovery.recovery.errors import RecoveryError
from tests.memory import LIMIT_MIB, peak_of

pytestmark = pytest.mark.thorough

MIB = 2**20
MOST = 2**30
"""A server that nobody stops sends this much."""

Answer = Callable[[], Iterator[bytes]]


@asynccontextmanager
async def hostile(answer: Answer) -> AsyncIterator[str]:
    """Serve one answer to the first request, of any kind; the block gets the URL."""
    serving: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with suppress(ConnectionError):
            await reader.read(1)
            sent = 0
            for part in answer():
                writer.write(part)
                await writer.drain()
                sent += len(part)
                if sent > MOST:
                    break
            await reader.read()
        writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
    finally:
        listener.close()
        await asyncio.gather(*serving)


def _endless_string() -> Iterator[bytes]:
    yield b"$%d\r\n" % (2 * MOST)
    yield from repeat(b"x" * MIB)


def _endless_line() -> Iterator[bytes]:
    yield b"+"
    yield from repeat(b"x" * MIB)


def _endless_list() -> Iterator[bytes]:
    yield b"*%d\r\n" % 2**31
    yield from repeat(b"*0\r\n" * 2**18)


def _announced_lists() -> Iterator[bytes]:
    yield b"*1000000000\r\n" * 8
    yield from repeat(b":1\r\n" * 2**18)


def _long_list() -> Iterator[bytes]:
    yield b"*60000\r\n"
    yield from repeat(b"$1000\r\n" + b"x" * 1000 + b"\r\n")


HOSTILE = [_endless_string, _endless_line, _endless_list, _announced_lists, _long_list]


@pytest.mark.parametrize("answer", HOSTILE)
async def test_an_answer_without_an_end_costs_no_memory_and_is_named(answer: Answer) -> None:
    async with hostile(answer) as url:
        peak = await peak_of("tests.broker.peak", "check", url)

    assert peak.found == "BrokerReplyTooLarge"
    assert peak.mib < LIMIT_MIB


async def test_the_message_says_what_is_wrong_and_what_to_do() -> None:
    async with hostile(_endless_string) as url:
        broker = RedisBroker.connect(url, TransportOptions())
        with pytest.raises(RecoveryError) as raised:
            await broker.check()
        await broker.aclose()

    assert raised.value.message.startswith("the broker's reply to a command is larger than the operator reads")
    assert "Check that the URL leads to the Redis server of the queue" in raised.value.message


async def test_the_command_is_not_sent_again_and_the_next_one_gets_a_connection_of_its_own(
    broker: RedisBroker, redis: Redis
) -> None:
    await redis.zadd("queuerecovery.dev:large", {b"x" * LARGEST_REPLY: 1})
    await redis.config_resetstat()

    with pytest.raises(RecoveryError) as raised:
        await broker.database.client.by_rank("queuerecovery.dev:large", 0, 0)

    assert raised.value.reason == "BrokerReplyTooLarge"
    assert (await redis.info("commandstats"))["cmdstat_zrevrange"]["calls"] == 1
    assert await broker.database.client.by_rank("queuerecovery.dev:none", 0, 0) == []


def _feed(measure: Measure, parts: list[bytes], limit: int) -> None:
    for part in parts:
        measure.feed(part, limit)


LEAF = st.one_of(
    st.binary(max_size=30).map(lambda value: b"$%d\r\n%b\r\n" % (len(value), value)),
    st.integers(-(2**40), 2**40).map(lambda value: b":%d\r\n" % value),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"*0\r\n", b"+OK\r\n", b"-ERR no\r\n", b"$0\r\n\r\n"]),
)
REPLY = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: b"*%d\r\n" % len(parts) + b"".join(parts)),
    max_leaves=20,
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(replies=st.lists(REPLY, min_size=1, max_size=4), cut=st.integers(1, 40))
def test_each_reply_is_measured_from_its_first_byte_to_its_last_however_it_is_cut(
    replies: list[bytes], cut: int
) -> None:
    stream, largest = b"".join(replies), max(map(len, replies))
    reader = hiredis.Reader()
    reader.feed(stream)
    for _ in replies:
        assert reader.gets() is not False
    parts = [stream[at : at + cut] for at in range(0, len(stream), cut)]

    fits = Measure()
    _feed(fits, parts, largest)

    assert (fits._missing, fits._size, fits._begun, fits._payload) == (1, 0, b"", 0)
    with pytest.raises(ReplyTooLargeError):
        _feed(Measure(), parts, largest - 1)


@pytest.mark.parametrize(
    "line", [b"$x\r\n", b"$1_0\r\n", b"*-2\r\n", b"$ 5\r\n", b"%1\r\n", b"HTTP/1.1 400\r\n", b"$" + b"9" * 40 + b"\r\n"]
)
def test_what_is_not_the_protocol_is_refused_at_its_header(line: bytes) -> None:
    with pytest.raises(exceptions.InvalidResponse):
        Measure().feed(line, LARGEST_REPLY)
