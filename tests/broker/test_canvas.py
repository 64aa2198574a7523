"""What hangs on a queue's messages, as Celery's own canvas puts it there."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery, chord, group
from redis.asyncio import Redis

from queue_recovery.api.canvas import Canvas
from queue_recovery.api.select import PurgeSelect
from queue_recovery.broker import RedisBroker
from queue_recovery.broker.inspection.canvas import CanvasCount
from sandbox.broker import Broker as Server
from tests.broker.application import SEP, Application, everything


@pytest.fixture
def celery(server: Server, redis: Redis) -> Iterator[Celery]:
    """A Celery application that sends to the queue `tts`, and has a result backend as chords need it."""
    del redis
    app = Celery("canvas", broker=server.url, backend="cache+memory://", set_as_current=False)
    app.conf.task_default_queue = "tts"
    yield app
    app.close()


def of(app: Celery, name: str = "tts.render") -> Any:  # noqa: ANN401  # Celery has no types
    return app.signature(name, args=(1,))


CANVAS: list[tuple[str, Callable[[Celery], object], dict[str, int]]] = [
    ("a plain task has none", lambda app: of(app).apply_async(), {"looked_at": 1}),
    (
        "members of a chord are not counted as a group's too",
        lambda app: chord([of(app), of(app)], app=app)(of(app)),
        {"looked_at": 2, "chords": 2},
    ),
    (
        "members of a group",
        lambda app: group(of(app), of(app), of(app), app=app).apply_async(),
        {"looked_at": 3, "groups": 3},
    ),
    (
        "the first of a chain carries the rest",
        lambda app: (of(app) | of(app) | of(app)).apply_async(),
        {"looked_at": 1, "chains": 1},
    ),
    ("a callback", lambda app: of(app).apply_async(link=of(app)), {"looked_at": 1, "callbacks": 1}),
    ("an errback", lambda app: of(app).apply_async(link_error=of(app)), {"looked_at": 1, "callbacks": 1}),
    (
        "the first of a chain whose rest is a chord",
        lambda app: (of(app) | group(of(app), of(app), app=app) | of(app)).apply_async(),
        {"looked_at": 1, "chains": 1},
    ),
    (
        "of a chain in a group only the last task is the group's member",
        lambda app: group(of(app) | of(app), of(app), app=app).apply_async(),
        {"looked_at": 2, "groups": 1, "chains": 1},
    ),
]


@pytest.mark.parametrize(
    ("case", "send", "expected", "protocol"),
    [
        pytest.param(*row, protocol, id=f"{row[0]}, protocol {protocol}")
        for row in CANVAS
        for protocol in (2, 1)
        if protocol == 2 or "chains" not in row[2]  # which only protocol 2 knows
    ],
)
async def test_what_celerys_canvas_hangs_on_messages_is_counted(
    broker: RedisBroker,
    celery: Celery,
    case: str,
    send: Callable[[Celery], object],
    expected: dict[str, int],
    protocol: int,
) -> None:
    celery.conf.task_protocol = protocol
    send(celery)

    assert (await broker.count("tts")).canvas == Canvas.model_validate(expected), case


async def test_messages_that_workers_hold_and_those_of_every_priority_are_looked_at(
    broker: RedisBroker, celery: Celery, application: Application, redis: Redis
) -> None:
    for priority in (0, 0, 9):
        (of(celery) | of(celery)).apply_async(priority=priority)
    of(celery).apply_async(queue="mail", link=of(celery))
    application.hold("tts", 1)
    application.hold("mail", 1)
    before = await everything(redis)

    assert (await broker.count("tts")).canvas == Canvas(looked_at=3, chains=3)
    assert await everything(redis) == before


@pytest.mark.parametrize(("serializer", "compression"), [("pickle", None), ("json", "zlib")])
async def test_of_bodies_that_are_not_plain_json_only_the_group_is_known(
    broker: RedisBroker, celery: Celery, serializer: str, compression: str | None
) -> None:
    how = {"serializer": serializer, "compression": compression}
    chord([of(celery).set(**how), of(celery).set(**how)], app=celery)(of(celery))
    of(celery).apply_async(link=of(celery), **how)

    assert (await broker.count("tts")).canvas == Canvas(looked_at=3, unreadable=3, groups=2)


def body(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"body": body(b"(lp0\n.")},
        {"body": "no base64"},
        {"body": "abcde"},
        {"body": "\N{SNOWMAN}"},
        {"body": None},
        {"body": body(b"[1, 2]")},
        {"body": body(b"[" * 5000)},
        {"body": body(b'[[], {}, {"chain": [1], "padding": "%s"}]' % (b"x" * 300_000))},
        {"content-type": "application/x-python-serialize"},
        {"content-encoding": "binary"},
        {"properties": {}},
        {"properties": None},
    ],
)
def test_a_body_of_any_form_is_counted_as_unreadable(fields: dict[str, object]) -> None:
    count = CanvasCount()
    chain = body(b'[[], {}, {"chain": [1]}]')
    good: dict[str, object] = {"content-type": "application/json", "content-encoding": "utf-8", "body": chain}
    good |= {"headers": {}, "properties": {"body_encoding": "base64"}}
    envelopes: list[object] = [good, good | fields, None, [], "text"]
    for envelope in envelopes:
        count.examine(envelope)

    assert count.total() == Canvas(looked_at=5, unreadable=4, chains=1)


async def test_an_empty_queue_has_nothing_to_look_at(broker: RedisBroker) -> None:
    assert (await broker.count("tts")).canvas is None


async def test_of_a_deep_queue_both_ends_of_each_list_are_looked_at(
    broker: RedisBroker, celery: Celery, redis: Redis
) -> None:
    (of(celery) | of(celery)).apply_async()
    chain = await redis.rpop("tts")
    of(celery).apply_async()
    plain = await redis.rpop("tts")
    assert isinstance(chain, bytes)
    assert isinstance(plain, bytes)
    for key in ("tts", f"tts{SEP}3"):
        await redis.rpush(key, chain, *[plain] * 499, *[chain] * 500, *[plain] * 499, chain)

    count = await broker.count("tts")

    assert count.ready == 3000
    assert count.canvas == Canvas(looked_at=2000, chains=4)


async def test_never_more_than_so_many_messages_are_looked_at(
    broker: RedisBroker, celery: Celery, redis: Redis
) -> None:
    of(celery).apply_async()
    message = await redis.rpop("tts")
    assert isinstance(message, bytes)
    for priority in range(1, 8):
        await redis.rpush(f"tts{SEP}{priority}", *[message] * 1000)

    assert (await broker.count("tts")).canvas == Canvas(looked_at=5000)


async def test_with_a_selection_only_the_messages_that_it_takes_are_looked_at_wherever_they_are(
    broker: RedisBroker, celery: Celery, redis: Redis
) -> None:
    of(celery).apply_async(link=of(celery))
    plain = await redis.rpop("tts")
    assert isinstance(plain, bytes)
    (of(celery, "tts.index") | of(celery)).apply_async()
    chain = await redis.rpop("tts")
    assert isinstance(chain, bytes)
    plains = [plain.replace(b'"retries": 0', b'"retries": %d' % n) for n in range(1400)]
    await redis.rpush("tts", *plains[:700], chain, *plains[700:])
    held = json.dumps([json.loads(chain), "", "tts"])
    await redis.hset("unacked", mapping={"a": held, "b": json.dumps([json.loads(plain), "", "tts"])})

    count = await broker.count("tts", select=PurgeSelect(tasks=["tts.index"]))

    assert count.leave == 1401
    assert count.canvas == Canvas(looked_at=2, chains=2)
