"""Real Celery workers that only look stuck: nothing is told of them."""

import pytest

from sandbox.processes import until
from tests.broker.conftest import on_one_server
from tests.broker.stuck_incident import ENOUGH, Incident

pytestmark = on_one_server


async def test_healthy_patterns_tell_of_nothing(incident: Incident) -> None:
    worker = await incident.start()
    looks = []
    looks.append(("empty", await incident.look()))
    looks.append(("empty for long", await incident.look(after=ENOUGH)))
    incident.send(*["tts.short"] * 500)
    looks.append(("a burst", await incident.look()))
    await incident.has(ready=0, unacked=0)
    looks.append(("empty again", await incident.look()))
    incident.send(*["tts.long"] * 3, arguments=[600])
    await incident.has(ready=1, unacked=1)
    looks.append(("a long task", await incident.look()))
    looks.append(("a long task for long", await incident.look(after=ENOUGH)))
    await worker.kill()
    await incident.ended(worker)
    looks.append(("no worker", await incident.look(after=ENOUGH)))
    looks.append(("no worker for long", await incident.look(after=ENOUGH)))

    assert looks == [(name, {}) for name, _ in looks]


async def test_a_busy_queue_is_healthy_at_any_depth(incident: Incident) -> None:
    incident.thresholds(deafSeconds=30, risingSeconds=30, risingMessages=1, hoardedMessages=10)
    await incident.start("--prefetch-multiplier=4")
    looks = []
    for _ in range(8):
        incident.send(*["tts.short"] * 60)
        looks.append(await incident.look(after=ENOUGH))
        before = await incident.redis.llen("tts")

        async def consumed(most: int = before) -> bool:
            return await incident.redis.llen("tts") < max(1, most)

        await until(consumed, "the worker to take some")
        looks.append(await incident.look(after=ENOUGH))

    assert looks == [{}] * 16


@pytest.mark.thorough
async def test_a_rolling_update_that_gives_messages_back_again_and_again_is_healthy(incident: Incident) -> None:
    """Each worker is replaced while it runs a task, and gives back what it has not begun."""
    prefetching = ("--prefetch-multiplier=4",)
    incident.send(*["tts.released"] * 40)
    old = await incident.start(*prefetching, RELEASED_BY="release-0")
    await incident.has(ready=35, unacked=4)
    looks = [await incident.look()]
    given_back = []
    for number in range(1, 5):
        new = await incident.start(*prefetching, RELEASED_BY=f"release-{number}")
        looks.append(await incident.look(after=ENOUGH))
        await incident.asked_to_end(old)
        await incident.redis.lpush(f"release-{number - 1}", "")
        await incident.replaced(old)
        given_back.append(await incident.given_back())
        looks += [await incident.look(), await incident.look()]
        old = new

    assert looks == [{}] * 13
    assert all(given_back)
