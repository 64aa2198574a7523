"""Messages and keys that are larger than the operator's memory: no more than their ends is read."""

import base64
import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.values import END, LARGEST, Large
from queue_recovery.broker.layout.envelope import Entry, after_envelope, envelope_of, read_entry, read_message
from queue_recovery.broker.layout.headers import task_id
from queue_recovery.recovery.ports import Run
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, restoring, seen_jobs, selecting
from tests.broker.conftest import Connect, on_one_server
from tests.memory import LIMIT_MIB, peak_of

pytestmark = pytest.mark.thorough

MIB = 2**20


def message(name: str, *, size: int = 0, queue: str = "tts", priority: int = 0) -> bytes:
    """Return a message as kombu writes it, of some size."""
    body = base64.b64encode(b"[[], {}, {}]").decode() + "A" * size
    envelope = {
        "body": body,
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"id": name, "task": "tts.render", "retries": 0},
        "properties": {
            "correlation_id": name,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": queue},
            "priority": priority,
            "body_encoding": "base64",
            "delivery_tag": f"tag-{name}",
        },
    }
    return json.dumps(envelope).encode()


def entry(name: str, *, size: int = 0, exchange: str = "", routing_key: str = "tts", priority: int = 0) -> bytes:
    """Return an entry of `unacked`."""
    route = json.dumps([exchange, routing_key])[1:].encode()
    return b"[" + message(name, size=size, priority=priority) + b", " + route


async def digests(redis: Redis, key: str) -> list[str]:
    """Return what tells a list's messages apart, from the newest on."""
    found = [await redis.lindex(key, place) for place in range(await redis.llen(key))]
    return [hashlib.sha256(one).hexdigest() for one in found if isinstance(one, bytes)]


@on_one_server
@pytest.mark.parametrize("operation", ["recover", "recover a part"])
async def test_a_queue_of_messages_of_16_mib_is_recovered_and_put_back_in_less_than_256_mib(
    redis: Redis, server: Server, operation: str
) -> None:
    for n in range(6):
        await redis.lpush("tts", message(f"l{n}", size=16 * MIB))
        await redis.hset("unacked", f"tag-u{n}", entry(f"u{n}", size=16 * MIB))
        await redis.zadd("unacked_index", {f"tag-u{n}": 1000 + n})
    await redis.lpush("tts", message("small"))

    peak = await peak_of("tests.broker.peak", operation, server.url)

    everything = operation == "recover"
    assert peak.found == {
        "planned": [7, 6, 0 if everything else 12],
        "taken": [7, 6, 0] if everything else [1, 0, 12],
        "oversized": 6 if everything else 12,
        "undecodable": 0,
        "pushed": 1,
        "unreplaced": [12, False] if everything else [0, False],
        "restored": [13, 0] if everything else [1, 0],
    }
    assert peak.mib < LIMIT_MIB


@on_one_server
async def test_task_ids_of_any_length_are_not_all_remembered(redis: Redis, server: Server) -> None:
    for n in range(240):
        await redis.lpush("tts", message("short").replace(b'"id": "short"', b'"id": "%d%s"' % (n, b"x" * MIB)))

    peak = await peak_of("tests.broker.peak", "recover", server.url)

    assert isinstance(peak.found, dict)
    assert (peak.found["taken"], peak.found["unreplaced"][1]) == ([240, 0, 0], False)
    assert peak.mib < LIMIT_MIB


@on_one_server
async def test_many_messages_below_the_limit_come_one_by_one(redis: Redis, server: Server) -> None:
    await redis.hset("unacked", mapping={f"a{n:03}": entry(f"a{n}") for n in range(900)})
    for n in range(24):
        await redis.lpush("tts", message(f"l{n}", size=LARGEST - 2 * 1024))
        await redis.hset("unacked", f"tag-u{n}", entry(f"u{n}", size=LARGEST - 2 * 1024))

    peak = await peak_of("tests.broker.peak", "recover a part", server.url)

    assert isinstance(peak.found, dict)
    assert (peak.found["planned"], peak.found["oversized"]) == ([24, 924, 948], 0)
    assert peak.mib < LIMIT_MIB


@on_one_server
@pytest.mark.parametrize(
    ("operation", "key", "found"),
    [
        ("look at the lock", "queuerecovery.dev:lock:tts", [1024]),
        ("close a forged run", "queuerecovery.dev:run:forged", "BrokerLostData"),
        ("expire", "queuerecovery.dev:runs:this-cluster", 0),
        ("unlisted", "_kombu.binding.tasks", ["tts"]),
        ("recover", "unacked", None),
    ],
)
async def test_a_forged_value_of_200_mb_costs_no_memory(
    redis: Redis, server: Server, operation: str, key: str, found: object
) -> None:
    del redis  # a busy machine takes longer for so much than its time-out
    value = b"x" * 200_000_000
    async with Redis.from_url(server.url, socket_timeout=60) as patient:
        if operation == "look at the lock":
            await patient.set(key, value)
        elif operation == "close a forged run":
            await patient.hset(key, mapping={"state": "preparing", "taken:1:ready:0": value})
        elif operation == "expire":
            await patient.zadd(key, {value: 1})
        elif operation == "unlisted":
            await patient.sadd(key, value, f"tts.#{SEP}{SEP}tts")
        else:
            await patient.hset(key, value, entry("mine"))

    peak = await peak_of("tests.broker.peak", operation, server.url)

    if found is not None:
        assert peak.found == found
    else:
        assert isinstance(peak.found, dict)
        assert (peak.found["taken"], peak.found["undecodable"]) == ([0, 0, 0], 1)
    assert peak.mib < LIMIT_MIB


async def test_with_a_selection_a_large_message_is_left_in_its_place_and_counted(
    broker: RedisBroker, redis: Redis
) -> None:
    run = selecting(task_ids=["large", "taken", "held large"])
    for name, size in (("first", 0), ("large", LARGEST), ("taken", 0), ("last", 0)):
        await redis.lpush("tts", message(name, size=size))
    await redis.hset("unacked", "tag-0", entry("held large", size=LARGEST))
    before = await digests(redis, "tts")
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: seen_jobs("large", "held large", "other")})

    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked, taken.left, taken.oversized) == (1, 0, 4, 2)
    assert taken.left_ids == {"large", "held large"}
    assert await digests(redis, "tts") == [before[0], *before[2:]]
    assert await redis.hlen("unacked") == 1
    assert (await broker.run(run).take()).oversized == 2
    closed = await broker.run(run).close()
    assert closed.taken is not None
    assert closed.taken.oversized == 2


async def test_a_listed_job_whose_large_message_is_in_the_queue_is_found_by_its_properties(
    broker: RedisBroker, redis: Redis
) -> None:
    await redis.lpush("tts", message("large", size=LARGEST))
    await redis.hset("unacked", "tag", entry("held", size=LARGEST))

    assert await broker.queued_task_ids(["large", "held", "gone"], "tts") == {"large", "held"}


async def test_large_entries_of_other_queues_stay_where_they_are(broker: RedisBroker, redis: Redis, run: Run) -> None:
    entries: dict[Any, Any] = {
        "a": entry("theirs", size=LARGEST, routing_key="mail"),
        "b": entry("mine", size=LARGEST, exchange="tasks", routing_key="speech.now"),
        "c": entry("unreadable", size=LARGEST)[:-1],
    }
    await redis.hset("unacked", mapping=entries)
    await redis.sadd("_kombu.binding.tasks", f"speech.*{SEP}x{SEP}tts")
    await broker.run(run).open()

    taken = await broker.run(run).take()

    assert (taken.unacked, taken.oversized, taken.undecodable) == (1, 1, 1)
    assert set(await redis.hkeys("unacked")) == {b"a", b"c"}


async def test_a_large_message_goes_back_byte_for_byte_and_in_its_order(
    connect: Connect, redis: Redis, run: Run
) -> None:
    messages = [message("old", size=LARGEST, priority=3), message("new"), message("newest", size=LARGEST)]
    broker = connect()
    await redis.lpush("tts", messages[2])
    for n, name in enumerate(messages[:2]):
        await redis.hset("unacked", f"tag-{n}", b"[ " + name + b', "", "tts"]')
        await redis.zadd("unacked_index", {f"tag-{n}": n})
    await broker.run(run).open()
    await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    undo = restoring(run, task_ids=["old", "new", "newest"])

    await broker.run(undo).open()
    restored = await broker.run(undo).restore()

    assert (restored.restored, restored.left) == (3, 0)
    assert [await redis.lrange("tts", 0, -1), await redis.lrange(f"tts{SEP}3", 0, -1)] == [
        [messages[2], messages[1]],
        [messages[0]],
    ]


async def test_a_large_message_cannot_be_made_new_so_it_stays_in_the_quarantine(
    connect: Connect, redis: Redis, run: Run
) -> None:
    await redis.lpush("tts", message("small"), message("large", size=LARGEST))
    await redis.hset("unacked", "tag", entry("held", size=LARGEST))
    broker = connect()
    await broker.run(run).open()
    await broker.run(run).take()
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    undo = restoring(run, as_new=True)

    assert undo.restore is not None
    assert (await broker.restorable("tts", undo.restore)).restore == 1
    await broker.run(undo).open()
    restored = await broker.run(undo).restore()

    assert (restored.restored, restored.left) == (1, 2)


def complex_message(name: str, kind: str, *, priority: int = 0) -> bytes:
    """Return a message below the limit that has too much structure to be parsed, or is nested too deeply."""
    inside = "[" * 1100 + "]" * 1100 if kind == "depth" else json.dumps([[]] * 70_000)
    return message(name, priority=priority).replace(b'"task"', b'"inside": %s, "task"' % inside.encode())


@pytest.mark.parametrize("kind", ["structure", "depth"])
async def test_a_complex_message_is_taken_and_goes_back_byte_for_byte_as_a_large_one_does(
    broker: RedisBroker, redis: Redis, run: Run, kind: str
) -> None:
    held, waiting = complex_message("held", kind, priority=3), complex_message("waiting", kind)
    theirs = b'[%s, "", "mail"]' % complex_message("theirs", kind)
    await redis.lpush("tts", waiting)
    await redis.hset("unacked", mapping={"mine": b' [ %s , "", "tts" ] ' % held, "theirs": theirs})
    await redis.zadd("unacked_index", {"mine": 1, "theirs": 2})

    await broker.check_queue("tts")
    planned = await broker.count("tts")
    assert (planned.ready, planned.unacked, planned.undecodable) == (1, 1, 0)
    assert await broker.queued_task_ids(["held", "waiting", "theirs"], "tts") == {"held", "waiting"}
    await broker.run(run).open()
    taken = await broker.run(run).take()
    assert (taken.ready, taken.unacked, taken.undecodable) == (1, 1, 0)
    assert await redis.hgetall("unacked") == {b"theirs": theirs}
    await broker.run(run).close()
    await broker.run(run).release(expires=datetime.now(UTC), retain=True)
    undo = restoring(run, task_ids=["held", "waiting"])
    assert undo.restore is not None
    assert [one.task_id for one in await broker.first_restorable(undo.restore, 9)] == ["held", "waiting"]
    await broker.run(undo).open()
    restored = await broker.run(undo).restore()

    assert (restored.restored, restored.left) == (2, 0)
    assert await redis.lrange("tts", 0, -1) == [waiting]
    assert await redis.lrange(f"tts{SEP}3", 0, -1) == [held]


@pytest.mark.parametrize("kind", ["structure", "depth"])
async def test_a_complex_message_of_a_job_that_is_not_enqueued_is_left_where_it_is(
    broker: RedisBroker, redis: Redis, run: Run, kind: str
) -> None:
    names = ("waiting", "held")
    await redis.lpush("tts", message("other"), complex_message("waiting", kind))
    await redis.hset("unacked", "tag", b'[%s, "", "tts"]' % complex_message("held", kind))
    await broker.run(run).open()
    await broker.run(run).freeze({run.queue: seen_jobs(*names, recoverable=False)})

    taken = await broker.run(run).take()

    assert (taken.ready, taken.unacked, taken.left, taken.left_ids) == (1, 0, 2, frozenset(names))
    assert await redis.lrange("tts", 0, -1) == [complex_message("waiting", kind)]
    assert await redis.hlen("unacked") == 1


@pytest.mark.parametrize("kind", ["structure", "depth"])
async def test_what_is_complex_and_no_entry_stays_and_is_of_no_queue(
    broker: RedisBroker, redis: Redis, run: Run, kind: str
) -> None:
    text = complex_message("mine", kind)
    rubbish: dict[Any, Any] = {
        "a list": b'[[%s], "", "tts"]' % text,
        "a text before": b'["x", %s, "", "tts"]' % text,
        "not an array": b'%s, "", "tts"]' % text,
        "no route": b'[%s, "tts"]' % text,
        "a number": b'[%s, "", 1]' % text,
        "cut off": b'[%s, "", "tts"' % text,
        "an open list": b'[{"a":' + b"[" * 50_000 + b"]",
        "a long name": b'[%s, "", "%s"]' % (text, b"t" * 256),
        "simple and no JSON": b'[{"body" "", "properties": {}}, "", "tts"]',
    }
    await redis.hset("unacked", mapping=rubbish)
    await broker.run(run).open()

    taken = await broker.run(run).take()

    assert (taken.unacked, taken.undecodable) == (0, len(rubbish))
    assert set(await redis.hkeys("unacked")) == {name.encode() for name in rubbish}


NAMES = st.one_of(st.none(), st.text(max_size=40), st.sampled_from(["", '"', "\\", '\\"', ']"', "null", '", "tts"]']))
FORMS = st.sampled_from([{}, {"separators": (",", ":")}, {"ensure_ascii": False}])
BODY = st.text(alphabet=st.sampled_from('a"\\,]}[{: n'), max_size=30)


@settings(max_examples=500, derandomize=True, database=None, deadline=None)
@given(
    exchange=NAMES,
    routing_key=NAMES,
    name=st.text(max_size=20),
    body=BODY,
    form=FORMS,
)
def test_the_end_of_an_entry_tells_what_the_whole_of_it_does(
    exchange: str | None, routing_key: str | None, name: str, body: str, form: dict[str, Any]
) -> None:
    envelope = {"body": body, "headers": {"id": name}, "properties": {"correlation_id": name, "note": body}}
    text = json.dumps([envelope, exchange, routing_key], **form).encode()
    end = Large(LARGEST + len(text), text[-END:])

    whole, seen = read_entry(text), read_entry(end)

    assert whole is not None
    assert seen is not None
    assert (seen.exchange, seen.routing_key) == (whole.exchange, whole.routing_key)
    assert task_id(seen.envelope) == task_id(whole.envelope) == name
    assert after_envelope(end) == after_envelope(text)
    of_message = envelope_of(text)
    assert of_message is not None
    assert task_id(read_message(Large(LARGEST, of_message[-END:]))) == name


NO_ROUTE = [
    *(b"", b"]", b'"]', b'"tts"]', b', "", "tts"]', b'}, "tts"]', b'}, "", "tts"'),
    *(b'}, "", 5]', b'}, "" "tts"]', b'}, "\\", "tts"]'),
]


@pytest.mark.parametrize("end", NO_ROUTE)
def test_an_end_without_a_route_is_of_no_queue(end: bytes) -> None:
    assert read_entry(Large(LARGEST + 1, b'x": 1' + end)) is None


@pytest.mark.parametrize(
    "end", [b"[" * END + b"]", b'{}, "", "\x00t\x00"]', b'{}, "", "\xff"]', b'{}, "\xed\xa0\x80", "tts"]']
)
async def test_an_end_that_is_nested_deeply_or_no_text_is_of_no_queue_and_stops_no_look(
    broker: RedisBroker, redis: Redis, end: bytes
) -> None:
    assert read_entry(Large(LARGEST + 1, end)) is None

    await redis.hset("unacked", "tag", b" " * END + end)
    await redis.zadd("unacked_index", {"tag": 1})
    assert (await broker.unacked(["tts"])).not_counted == 1


def test_an_end_whose_properties_cannot_be_read_still_tells_the_route() -> None:
    assert read_entry(Large(LARGEST + 1, b'xx"}, "", "tts"]')) == Entry(None, "", "tts")
