"""That there is nothing to do is said only of a queue in which nothing is met that would be taken."""

from collections.abc import AsyncIterator, Sequence
from itertools import islice

import pytest
from redis.asyncio import Redis

from queue_recovery.broker import RedisBroker
from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.connection.values import Value
from queue_recovery.recovery.plan import plan
from tests.broker.application import Application
from tests.broker.stored_recovery import stored_recovery


async def test_a_producer_that_goes_on_hides_no_message_that_is_selected(
    broker: RedisBroker, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.send("tts", "poison", retries=7)
    for n in range(30):
        application.send("tts", f"good-{n}")
    read = Client.lrange
    more = iter(range(40))

    async def lrange(self: Client, key: str, first: int, last: int) -> Sequence[Value]:
        found = await read(self, key, first, last)
        for n in islice(more, 1):
            application.send("tts", f"new-{n}")
        return found

    monkeypatch.setattr(Client, "lrange", lrange)
    stored = stored_recovery(broker, {}, {"purge": {"select": {"minRetries": 1}}})

    await plan(stored.recovery())

    assert stored.status.ending is None
    assert stored.status.plan is not None
    assert stored.status.plan.purge == 1


@pytest.mark.parametrize(("retries", "ends"), [(0, True), (3, False)])
async def test_a_skipped_job_whose_message_is_retried_may_be_in_an_attempt_so_it_is_judged_once_nothing_runs(
    broker: RedisBroker, application: Application, retries: int, *, ends: bool
) -> None:
    application.send("tts", "old-a", retries=retries)
    application.hold("tts", 1)
    stored = stored_recovery(broker, {"a": "running"})

    await plan(stored.recovery())

    assert (stored.status.ending is not None) == ends
    assert ("checked again once no worker is running" in stored.status.message) != ends


async def test_a_message_that_a_worker_gives_back_meanwhile_is_not_overlooked(
    broker: RedisBroker, application: Application, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    application.send("tts", "poison")
    application.hold("tts", 1)
    scan = Client.scan_hash

    async def scan_hash(self: Client, key: str) -> AsyncIterator[list[tuple[bytes | None, Value]]]:
        for tag in await redis.hkeys("unacked"):
            assert isinstance(tag, bytes)
            application.give_back(tag.decode())
        async for portion in scan(self, key):
            yield portion

    monkeypatch.setattr(Client, "scan_hash", scan_hash)
    stored = stored_recovery(broker, {})

    await plan(stored.recovery())

    assert stored.status.ending is None
    assert stored.status.plan is not None
    assert stored.status.plan.purge == 1
