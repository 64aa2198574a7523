"""A recovery can be deleted at any time: one that has touched nothing at once, any other when all is in order again."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from sandbox.api import ApiError
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.processes import until
from tests.e2e.conftest import open_team
from tests.e2e.team import Team, envelope
from tests.held import NOTE, held_by
from tests.mongodb import Database


async def _lock_deployment(team: Team) -> dict[str, object]:
    await team.recovery("another", targetRef={"name": "nobody"})
    uid = (await team.get("QueueRecovery", "another"))["metadata"]["uid"]
    await team.kubectl("label", "deployment/worker", *held_by(uid, "another", replicas=1))
    return {}


async def _suspend(_: Team) -> dict[str, object]:
    return {"suspend": True}


@pytest.mark.parametrize(
    ("obstacle", "reason"),
    [
        (_suspend, "Suspended"),
        (_lock_deployment, "Locked"),
    ],
    ids=["suspended", "Deployment locked"],
)
async def test_one_that_has_touched_nothing_is_held_by_nobody_and_leaves_nothing_behind(
    team: Team, obstacle: Callable[[Team], Awaitable[dict[str, object]]], reason: str
) -> None:
    await team.workers(replicas=1)
    await team.target()
    await team.redis.lpush("work", envelope("t"))
    spec = await obstacle(team)
    before = (await team.get("Deployment", "worker"))["metadata"]["generation"]

    await team.recovery(**spec)
    await team.waits(reason)
    assert "finalizers" not in (await team.get("QueueRecovery", "stuck"))["metadata"]
    await team.kubectl("delete", "qr", "stuck", "--timeout=10s")

    assert await team.redis.keys("queuerecovery.dev:*") == []
    assert (await team.get("Deployment", "worker"))["metadata"]["generation"] == before
    assert len(await team.queued()) == 1


async def test_the_finalizer_is_there_from_the_intent_to_stop_the_workers_until_the_end(team: Team) -> None:
    await team.stubborn_workers(grace=3)
    await team.target()
    await team.recovery()
    await team.reached("Draining")
    assert (await team.get("QueueRecovery", "stuck"))["metadata"]["finalizers"] == ["queuerecovery.dev/active"]
    await team.reached("Succeeded")

    async def released() -> bool:
        return "finalizers" not in (await team.get("QueueRecovery", "stuck"))["metadata"]

    await until(released, "the finalizer to be removed")


async def test_one_whose_finalizer_is_removed_by_force_is_put_in_order_all_the_same(team: Team) -> None:
    await team.stubborn_workers(grace=5)
    await team.target()
    await team.recovery()
    await _drains(team)
    await _remove_by_force(team)

    async def in_order() -> bool:
        noted = (await team.get("Deployment", "worker"))["metadata"].get("labels", {}).keys() >= NOTE
        return not noted and await team.replicas() == 2 and not await team.redis.keys("queuerecovery.dev:lock:*")

    await until(in_order, "the workers to be back and the lock to be free")


async def test_one_that_lost_its_finalizer_and_is_kept_by_anothers_is_put_in_order(team: Team) -> None:
    await team.stubborn_workers(grace=5)
    await team.target()
    await team.recovery()
    await _drains(team)
    await team.kubectl("patch", "qr", "stuck", "--type=merge", '--patch={"metadata":{"finalizers":["example.com/a"]}}')
    await team.kubectl("delete", "qr", "stuck", "--wait=false")

    await team.reached("Cancelled")

    async def released() -> bool:
        # Between the patch and the deletion the operator may have put its own back, which goes after the final status.
        return bool((await team.get("QueueRecovery", "stuck"))["metadata"]["finalizers"] == ["example.com/a"])

    await until(released, "no finalizer but the other's")
    assert await team.replicas() == 2
    assert not await team.redis.keys("queuerecovery.dev:lock:*")
    await team.kubectl("patch", "qr", "stuck", "--type=merge", '--patch={"metadata":{"finalizers":null}}')


async def _remove_by_force(team: Team) -> None:
    # Without kubectl, which takes so long that the operator may be done in between.
    path = f"{team.path('QueueRecovery')}/stuck"
    await team.api.delete(path, {})
    await team.api.patch(path, {"metadata": {"finalizers": None}})


@asynccontextmanager
async def _team_of_its_own(
    operator: Sandbox, name: str, broker: Broker, store: Database, databases: Iterator[int]
) -> AsyncIterator[Team]:
    """Make a team whose namespace the test deletes."""
    await operator.kubectl("create", "namespace", name)
    async with open_team(operator, name, broker, store, databases) as team:
        yield team


@pytest.mark.thorough
async def test_a_namespace_that_is_deleted_goes_with_its_running_recovery_although_its_secret_goes_first(
    operator: Sandbox, broker: Broker, store: Database, databases: Iterator[int], namespace: str
) -> None:
    doomed = f"{namespace}-doomed"
    async with _team_of_its_own(operator, doomed, broker, store, databases) as team:
        await team.stubborn_workers(grace=5)
        await team.target()
        await team.redis.lpush("work", envelope("t"))
        await team.recovery()
        await _drains(team)
        await team.kubectl("delete", "rolebinding/queue-recovery", "secret/redis", "qt/team")
        await operator.kubectl("delete", "namespace", doomed, "--wait=false")

        async def gone() -> bool:
            try:
                await team.api.get(f"/api/v1/namespaces/{doomed}")
            except ApiError as error:
                return error.status == 404
            return False

        await until(gone, "the namespace to be gone", seconds=60)

        # Another namespace of the same broker goes on with the queue.
        async with open_team(operator, namespace, broker, store, databases) as other:
            await other.secrets(redis=team.broker_url)
            await other.workers(replicas=1)
            await other.target()
            await other.recovery()
            await other.reached("Succeeded")
        # The first one may have taken it by then: its pods went with the namespace.
        lists = await team.redis.keys("queuerecovery.dev:quarantine:*:ready:*")
        assert sum([await team.redis.llen(key) for key in lists]) == 1
        assert await team.queued() == []
        assert not await team.redis.keys("queuerecovery.dev:lock:*")


async def _drains(team: Team) -> None:
    async def scaled() -> bool:
        return await team.replicas() == 0

    await until(scaled, "the workers to be scaled to 0", seconds=30)
