"""What a recovery asks of the API server grows neither with its jobs nor with the time that it waits."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from http import HTTPStatus

import pytest
import pytest_asyncio

from benchmarks.requests import asked, kind_of
from sandbox.api import Json
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.processes import DeadlineError, until
from tests.e2e.conftest import open_team
from tests.e2e.team import Team, envelope
from tests.held import RELEASE, held_by
from tests.mongodb import Database

pytestmark = pytest.mark.thorough

_SURVEY = "patch queuetargets/status"
"""The last request of each survey of a target; one a second here."""

_CHANCE = 10
"""How many more states of a drain and of a rollout may be seen, told and watched one time than another."""

_LATE = (HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY)

_OF_A_SURVEY = ("get secrets", "get secrets", "list deployments", "list replicasets", "list pods", _SURVEY)

Obstacle = Callable[[Team], Awaitable[None]]


async def test_a_recovery_of_many_jobs_asks_for_as_much_as_one_of_few(team: Team) -> None:
    await team.workers(replicas=1)
    await team.target()

    few, many = [await _asked(team, f"jobs-{count}", jobs=[{"task": "work.run"}] * count) for count in (3, 1000)]

    assert few["patch queuerecoveries/status"] > 5
    _same(few, many)


async def _lock_deployment(team: Team) -> None:
    await team.recovery("another", targetRef={"name": "nobody"})  # which waits, and so asks for nothing
    await team.waits("TargetNotFound", "another")
    uid = (await team.get("QueueRecovery", "another"))["metadata"]["uid"]
    await team.kubectl("label", "deployment/worker", *held_by(uid, "another", replicas=1))


async def _unlock_deployment(team: Team) -> None:
    await team.kubectl("label", "deployment/worker", *RELEASE)


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
    operator: Sandbox, broker: Broker, store: Database, databases: Iterator[int]
) -> AsyncIterator[Mapping[str, "asyncio.Task[Counter[str]]"]]:
    """What was asked while a recovery waited for each obstacle, all at once."""

    async def measured(reason: str, put: Obstacle, take_away: Obstacle) -> Counter[str]:
        async with operator.namespace() as name, open_team(operator, name, broker, store, databases) as team:
            await team.workers(replicas=1)
            await team.target()
            await put(team)
            await team.recovery()
            count = await _asked_while_it_waits(team, reason)
            await take_away(team)
            await team.reached("Succeeded")
            return count

    tasks = {what: asyncio.ensure_future(measured(*obstacle)) for what, obstacle in OBSTACLES.items()}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.wait(tasks.values())


@pytest.mark.parametrize("obstacle", OBSTACLES)
async def test_a_recovery_that_waits_asks_for_nothing_and_goes_on_when_it_can(
    waits: Mapping[str, "asyncio.Task[Counter[str]]"], obstacle: str
) -> None:
    assert await waits[obstacle] == Counter()


async def _asked_while_it_waits(team: Team, reason: str) -> Counter[str]:
    """Return what was asked for between two surveys of the target, beside what the surveys themselves ask."""
    await team.waits(reason)
    await _told(team, reason)
    first, last = await _surveys(team, 1), await _surveys(team, 4)
    return _beside_surveys(_events(team)[first:last])


async def test_a_recovery_without_its_target_or_deployment_asks_for_nothing_and_wakes_when_it_comes(team: Team) -> None:
    await team.recovery()
    await team.waits("TargetNotFound")
    await _told(team, "TargetNotFound")
    before = asked(_events(team))
    with pytest.raises(DeadlineError):
        await until(lambda: _differs(team, before), "another request", seconds=3)
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
        await until(lambda: more(before), "another look", seconds=3)
    await team.change("purge", suspend=False)
    await team.reached("Succeeded", "undo")


async def _told(team: Team, reason: str) -> None:
    """Wait until a recovery has an event of that reason, and the audit log has the requests for all its events."""
    told = await team.told(reason)

    async def logged() -> bool:
        return asked(_events(team))["create events"] >= len(told)

    await until(logged, "the audit log to have the requests for the events")


def _same(one: Counter[str], other: Counter[str]) -> None:
    """Compare two counts: what is written to Deployments is the same, and the rest within chance.

    Half a survey's reads may be among the one's and not among the other's.
    """
    for kind in {*one, *other}:
        allowed = 0 if kind == "patch deployments" else _CHANCE
        assert abs(one[kind] - other[kind]) <= allowed, f"{kind}: {one[kind]} and {other[kind]}"


async def _differs(team: Team, before: Counter[str]) -> bool:
    return asked(_events(team)) != before


async def _asked(team: Team, name: str, **spec: object) -> Counter[str]:
    """Carry a recovery out and return what the operator asked for because of it."""
    first = await _surveys(team, 1)
    await team.recovery(name, **spec)
    await team.reached("Succeeded", name)
    last = await _surveys(team, 1)
    return _beside_surveys(_events(team)[first:last])


def _beside_surveys(events: Sequence[Json]) -> Counter[str]:
    """Count what was asked for, from the end of one survey of the target to that of another, but for the surveys."""
    count = asked(events)
    for kind, each in Counter(_OF_A_SURVEY).items():
        count[kind] -= each * count[_SURVEY] if kind != _SURVEY else 0
    del count[_SURVEY]
    return +count


async def _surveys(team: Team, number: int) -> int:
    """Wait until the target has been surveyed that often from now on; return how many events there were by then."""
    since = len(_events(team))

    async def seen() -> int | None:
        ends = [place for place, event in enumerate(_events(team)[since:], since + 1) if kind_of(event) == _SURVEY]
        return ends[number - 1] if len(ends) >= number else None

    return await until(seen, f"{number} surveys of the target")


def _events(team: Team) -> list[Json]:
    """Return the namespace's audit events.

    But for the posts of events on the target, which surveys cause, and for writes that came too late: the Deployment's
    controller has changed it since it was read, and they are tried again.
    """
    in_namespace = [one for one in team.sandbox.audit() if one.get("objectRef", {}).get("namespace") == team.namespace]
    return [one for one in in_namespace if not _is_told_on_target(one["objectRef"]) and not _is_late(one)]


def _is_late(event: Json) -> bool:
    """Whether a write was refused for the version that it names, or for the `test` of a JSON patch."""
    return event.get("responseStatus", {}).get("code") in _LATE


def _is_told_on_target(about: Json) -> bool:
    return about.get("resource") == "events" and about.get("name", "").startswith("team.")
