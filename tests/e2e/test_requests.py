"""What a recovery asks of the API server grows neither with its jobs nor with the time that it waits."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

import pytest
import pytest_asyncio

from benchmarks.requests import asked, kind_of
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.job_store import JobStore
from sandbox.processes import DeadlineError, until
from tests.e2e.conftest import open_team
from tests.e2e.team import Team, envelope

_SURVEY = "patch queuetargets/status"
"""The last request of each survey of a target; one a second here."""

_CHANCE = 3
"""How many more states of a drain and of a rollout may be seen, told and watched one time than another."""

_OF_A_SURVEY = ("get secrets", "get secrets", "list deployments", "list replicasets", "list pods", _SURVEY)

Obstacle = Callable[[Team], Awaitable[None]]


async def test_a_recovery_of_many_jobs_asks_for_as_much_as_one_of_few(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()

    few, many = [await _asked(team, f"jobs-{count}", jobs=[{"task": "work.run"}] * count) for count in (3, 1000)]

    _same(few, many)


async def _lock_deployment(team: Team) -> None:
    note = '{"uid": "another", "recovery": "media/another", "replicas": 1}'
    await team.kubectl("annotate", "deployment/worker", f"queuerecovery.dev/restore={note}")


async def _unlock_deployment(team: Team) -> None:
    await team.kubectl("annotate", "deployment/worker", "queuerecovery.dev/restore-")


async def _lock_queue(team: Team) -> None:
    await team.redis.set("queuerecovery.dev:lock:work", "another")


async def _unlock_queue(team: Team) -> None:
    await team.redis.delete("queuerecovery.dev:lock:work")


async def _lose_secret(team: Team) -> None:
    await team.kubectl("delete", "secret", "redis")


async def _lose_broker(team: Team) -> None:
    await team.secrets(redis="redis://127.0.0.1:1/0")


async def _pause_deployment(team: Team) -> None:
    await team.kubectl("rollout", "pause", "deployment/worker")


async def _resume_deployment(team: Team) -> None:
    await team.kubectl("rollout", "resume", "deployment/worker")


OBSTACLES: dict[str, tuple[str, Obstacle, Obstacle]] = {
    "a Secret": ("SecretNotFound", _lose_secret, Team.secrets),
    "a broker": ("BrokerUnavailable", _lose_broker, Team.secrets),
    "a Deployment's lock": ("Locked", _lock_deployment, _unlock_deployment),
    "a queue's lock": ("Locked", _lock_queue, _unlock_queue),
    "a paused Deployment": ("WorkerPaused", _pause_deployment, _resume_deployment),
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def waits(
    operator: Sandbox, broker: Broker, store: JobStore, databases: Iterator[int]
) -> AsyncIterator[Mapping[str, "asyncio.Task[tuple[Counter[str], Counter[str]]]"]]:
    """What was asked during a brief and a long wait for each obstacle, all at once."""

    async def measured(reason: str, put: Obstacle, take_away: Obstacle) -> tuple[Counter[str], Counter[str]]:
        async with operator.namespace() as name, open_team(operator, name, broker, store, databases) as team:
            await team.workers(replicas=1)
            await team.target()
            return await _waiting(team, 1, reason, put, take_away), await _waiting(team, 6, reason, put, take_away)

    tasks = {what: asyncio.ensure_future(measured(*obstacle)) for what, obstacle in OBSTACLES.items()}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.wait(tasks.values())


@pytest.mark.parametrize("obstacle", OBSTACLES)
async def test_a_recovery_that_waits_long_asks_for_as_much_as_one_that_waits_briefly(
    waits: Mapping[str, "asyncio.Task[tuple[Counter[str], Counter[str]]]"], obstacle: str
) -> None:
    _same(*await waits[obstacle])


async def _waiting(team: Team, seconds: int, reason: str, put: Obstacle, take_away: Obstacle) -> Counter[str]:
    name = f"waits-{seconds}"
    await put(team)

    async def meanwhile() -> None:
        await team.waits(reason, name)
        await _surveys(team, seconds)
        await take_away(team)

    return await _asked(team, name, meanwhile=meanwhile)


async def test_a_recovery_without_its_target_or_deployment_asks_for_nothing_and_wakes_when_it_comes(team: Team) -> None:
    await team.recovery()
    await team.waits("TargetNotFound")

    async def told() -> bool:
        return "TargetNotFound" in await team.events()

    await until(told, "the event that tells of it")
    before = asked(_events(team))
    with pytest.raises(DeadlineError):
        await until(lambda: _differs(team, before), "another request", seconds=4)
    await team.target()
    await team.waits("WorkerNotFound")
    await team.workers(replicas=1)
    await team.reached("Succeeded")


async def test_a_restore_reads_the_recovery_that_it_waits_for_once_more_when_that_has_ended(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.redis.lpush("work", envelope("old"))
    await team.recovery("purge", suspend=True)
    await team.waits("Suspended", "purge")
    await team.recovery("undo", restoreFrom={"name": "purge"})
    await team.waits("RecoveryNotEnded", "undo")

    def reads() -> int:
        return asked(_events(team))["get queuerecoveries"]

    async def more(before: int) -> bool:
        return reads() > before

    before = reads()
    with pytest.raises(DeadlineError):
        await until(lambda: more(before), "another look", seconds=4)
    await team.change("purge", suspend=False)
    await team.reached("Succeeded", "undo")


def _same(one: Counter[str], other: Counter[str]) -> None:
    """Compare two counts: what is written to Deployments is the same, and the rest within chance.

    Half a survey's reads may be among the one's and not among the other's.
    """
    for kind in {*one, *other}:
        allowed = 0 if kind == "patch deployments" else _CHANCE
        assert abs(one[kind] - other[kind]) <= allowed, f"{kind}: {one[kind]} and {other[kind]}"


async def _differs(team: Team, before: Counter[str]) -> bool:
    return asked(_events(team)) != before


async def _asked(
    team: Team, name: str, *, meanwhile: Callable[[], Awaitable[None]] | None = None, **spec: object
) -> Counter[str]:
    """Carry a recovery out and return what the operator asked for because of it: all but the surveys of the target."""
    before = len(_events(team))
    await _surveys(team, 1, since=before)
    before = len(_events(team))
    await team.recovery(name, **spec)
    if meanwhile is not None:
        await meanwhile()
    await team.reached("Succeeded", name)
    await _surveys(team, 1)
    events = _events(team)[before:]
    last = max(index for index, event in enumerate(events) if kind_of(event) == _SURVEY)
    count = asked(events[: last + 1])
    for kind, each in Counter(_OF_A_SURVEY).items():
        count[kind] -= each * count[_SURVEY] if kind != _SURVEY else 0
    del count[_SURVEY]
    return count


async def _surveys(team: Team, number: int, *, since: int | None = None) -> None:
    """Wait until the target has been surveyed that often from now on, or from an event on."""
    since = len(_events(team)) if since is None else since

    async def seen() -> bool:
        return sum(kind_of(event) == _SURVEY for event in _events(team)[since:]) >= number

    await until(seen, f"{number} surveys of the target")


def _events(team: Team) -> list[dict[str, object]]:
    return [one for one in team.sandbox.audit() if one.get("objectRef", {}).get("namespace") == team.namespace]
