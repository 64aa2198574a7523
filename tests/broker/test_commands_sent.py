"""What the server sees of the operator: which commands, on which keys, how many."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.client import Word
from queue_recovery.broker.run.publisher import Publisher
from queue_recovery.recovery.ports import Run
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, recovery, restoring, selecting, tasks
from tests.broker.conftest import Connect

WRITES = {
    *("SET", "DEL", "UNLINK", "PERSIST", "RENAMENX", "HSET", "HDEL", "HINCRBY", "ZADD", "ZREM"),
    *("LPUSH", "RPUSH", "LPOP", "RPOP"),
}
READS = {
    *("PING", "INFO", "GET", "TYPE", "EXISTS", "LLEN", "LRANGE", "HLEN", "HGET", "HMGET", "HGETALL", "HEXISTS"),
    *("GETRANGE", "HSTRLEN"),
    *("HSCAN", "SSCAN", "ZSCORE", "ZRANGEBYSCORE", "ZREVRANGE", "EVAL"),
}
CONNECTING = {"CLIENT", "SELECT", "HELLO", "AUTH"}

_LONGEST_LINE = 64 * 2**20

_WORD = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\x([0-9a-f]{2})")


class Sent:
    """Commands in their order, each a list of words; those of scripts apart."""

    def __init__(self) -> None:
        self.direct: list[list[str]] = []
        self.by_scripts: list[list[str]] = []


@asynccontextmanager
async def watched(server: Server, redis: Redis) -> AsyncIterator[Sent]:
    """Read MONITOR while something is done; other clients' commands must not interfere."""
    sent = Sent()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=_LONGEST_LINE)
    try:
        writer.write(b"MONITOR\r\n")
        assert await reader.readline() == b"+OK\r\n"
        yield sent
        await redis.execute_command("ECHO", "the end")  # type: ignore[no-untyped-call]
        async with asyncio.timeout(10):
            while '"ECHO" "the end"' not in (line := (await reader.readline()).decode()):
                words = [_ESCAPE.sub(lambda m: chr(int(m[1], 16)), word) for word in _WORD.findall(line)]
                (sent.by_scripts if " lua]" in line else sent.direct).append(words)
    finally:
        writer.close()
        await writer.wait_closed()


async def whole_life(broker: RedisBroker, run: Run) -> None:
    """Do all that a recovery does to a broker."""
    await broker.check()
    await broker.depths(["tts", "mail"])
    await broker.unacked(["tts", "mail"])
    await broker.check_queue("tts")
    await broker.count("tts")
    await broker.queued_task_ids(["a", "b"], "tts")
    await broker.holders("tts")
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: {"0:a": None}})
    await broker.run(run).take()
    await broker.run(run).push({run.queue: tasks(3)})
    await broker.run(run).pushed()
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    await broker.expire_quarantines(run.cluster, is_over, datetime.now(UTC))


async def take_and_undo(broker: RedisBroker, run: Run) -> None:
    """Take what there is, and do all that a recovery does to put an earlier one's messages back."""
    await broker.run(run).open()
    await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    undo = restoring(run)
    assert undo.restore is not None
    await broker.restorable("tts", undo.restore)
    await broker.first_restorable(undo.restore, 20)
    await broker.run(undo).open()
    assert (await broker.run(undo).restore()).restored == 3
    await broker.run(undo).close()
    await broker.run(undo).release(expires=datetime.now(UTC), retain=True)


async def is_over(_name: str, _: str) -> bool:
    return False


async def test_no_command_changes_a_key_of_somebody_else(
    broker: RedisBroker, application: Application, server: Server, redis: Redis, run: Run
) -> None:
    application.bind("tts", "tasks", "topic", "speech.*")
    application.enqueue("tts", "held", "waits")
    application.publish("tasks", "speech.now", "held too")
    application.hold("tts", 2)
    application.enqueue("mail", "others")
    mine = re.compile(rf"queuerecovery\.dev:.*|tts({SEP}\d+)?|unacked|unacked_index")

    async with watched(server, redis) as sent:
        await take_and_undo(broker, recovery("tts"))
        await whole_life(broker, run)
        await whole_life(broker, selecting(task_ids=["new-1"]))

    for command, *words in [*sent.direct, *sent.by_scripts]:
        name = command.upper()
        assert name in WRITES | READS | CONNECTING
        keys = words[:2] if name == "RENAMENX" else words[:1]
        if name in WRITES:
            assert keys
            assert all(mine.fullmatch(key) for key in keys), (command, keys)
    used_by_scripts = {words[0].upper() for words in sent.by_scripts}
    assert used_by_scripts - {"HSCAN"} <= WRITES | READS


async def test_the_number_of_commands_grows_by_one_for_a_hundred_messages(
    connect: Connect, server: Server, redis: Redis
) -> None:
    spent = {}
    for count in (1000, 3000):
        await redis.flushdb()
        entry = '[{"headers": {}, "pad": "' + "x" * 100 + '"}, "", "%s"]'
        fields: dict[
            str | bytes | int | float | bytearray | memoryview, str | bytes | int | float | bytearray | memoryview
        ]
        fields = {f"tag{n}": entry % ("tts" if n % 2 else "mail") for n in range(count)}
        await redis.hset("unacked", mapping=fields)
        await redis.rpush("tts", *['{"properties": {}, "body": "' + "x" * 100 + '"}'] * count)
        broker, run = connect(), recovery("tts")
        async with watched(server, redis) as sent:
            await broker.run(run).open()
            taken = await broker.run(run).take()
        assert (taken.ready, taken.unacked) == (count, count // 2)
        spent[count] = len(sent.direct)
        batches_sent = [words for words in sent.direct if words[0] == "EVAL" and len(words) > 10]
        assert all(len(words) <= 3 + 5 + 5 + 100 for words in batches_sent if words[2] == "5")

    # Three scans of what is there, and the batches of what is ours.
    assert spent[3000] - spent[1000] <= (3 * 2000 + 1000) / 100 + 20


async def test_sorting_costs_two_commands_for_a_hundred_messages_and_moves_no_more_at_once(
    connect: Connect, server: Server, redis: Redis
) -> None:
    message = '{"headers": {"task": "%s"}, "properties": {}, "body": "' + "x" * 100 + '"}'
    await redis.rpush("tts", *(message % ("tts.render" if n % 3 else "tts.index") for n in range(3000)))
    broker, run = connect(), selecting(tasks=["tts.render"])

    async with watched(server, redis) as sent:
        await broker.run(run).open()
        taken = await broker.run(run).take()

    assert (taken.ready, taken.left) == (2000, 1000)
    assert len(sent.direct) <= 2 * 3000 / 100 + 30
    names = " ".join(words[0].upper() for words in sent.by_scripts)
    assert max(script.count("LPOP") for script in names.split("HDEL")) == 100


async def test_counting_changes_nothing_and_depths_cost_one_command(
    broker: RedisBroker, application: Application, server: Server, redis: Redis
) -> None:
    application.enqueue("tts", *(f"m{n}" for n in range(300)))
    await broker.depths(["tts"])

    async with watched(server, redis) as sent:
        assert await broker.depths(["tts", "mail"]) == ({"tts": 300, "mail": 0}, 0)

    assert [words[0].upper() for words in sent.direct] == ["EVAL"]
    assert {words[0].upper() for words in sent.by_scripts} == {"TYPE", "LLEN"}


async def test_the_connection_has_the_operators_name(broker: RedisBroker, redis: Redis) -> None:
    await broker.depths([])

    assert "queue-recovery" in {client["name"] for client in await redis.client_list()}


@pytest.mark.parametrize(("more", "sent_in"), [(0, [3, 1]), (1, [2, 2])])
async def test_pushing_sends_no_more_than_a_mebibyte_at_once(
    broker: RedisBroker, redis: Redis, run: Run, monkeypatch: pytest.MonkeyPatch, more: int, sent_in: list[int]
) -> None:
    await broker.run(run).open()
    await broker.run(run).pass_boundary()
    jobs = tasks(4)
    monkeypatch.setattr(
        Publisher, "message", lambda _self, _queue, task: b"m" * (2**20 // 3 + (task in jobs[:3]) * more)
    )
    send, counts = broker.database.client.script, []

    async def script(text: str, keys: Sequence[str], arguments: Sequence[Word]) -> list[bytes]:
        counts.append((len(arguments) - 1) // 3)
        return await send(text, keys, arguments)

    monkeypatch.setattr(broker.database.client, "script", script)

    await broker.run(run).push({run.queue: jobs})
    await broker.run(run).push({run.queue: jobs})

    assert counts == sent_in * 2
    assert await redis.llen("tts") == 4


async def test_pushing_sends_five_hundred_jobs_at_once(
    broker: RedisBroker, server: Server, redis: Redis, run: Run
) -> None:
    await broker.run(run).open()
    await broker.run(run).pass_boundary()

    async with watched(server, redis) as sent:
        await broker.run(run).push({run.queue: tasks(600)})

    assert [words[0].upper() for words in sent.direct] == ["EVAL", "EVAL"]
    assert await redis.llen("tts") == 600
