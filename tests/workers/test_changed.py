"""Waiting for a Deployment to become another one, on a real API server."""

import asyncio
from contextlib import suppress

import pytest

from queue_recovery.recovery.errors import AwaitingChange
from sandbox.processes import until
from tests.held import held_by
from tests.workers.fleet import RUN, SECONDS, Fleet, manifest


async def test_what_is_looked_at_wakes_when_it_changes_and_nothing_else_does(fleet: Fleet) -> None:
    await fleet.roll_out(manifest(replicas=1))
    await fleet.apply(manifest("other", replicas=0))
    await fleet.look()
    before = len(fleet.requests())
    changed = asyncio.create_task(fleet.workers.changed())

    async def watching() -> bool:
        return "watch" in [event["verb"] for event in fleet.requests()[before:]]

    await until(watching, "the watch to begin")
    await fleet.kubectl("scale", "deployment/other", "--replicas=1")
    await fleet.kubectl("label", "deployment/worker", "team=media")
    await fleet.await_rollout("other")
    await fleet.look()
    assert not changed.done()
    await fleet.kubectl("label", "deployment/worker", *held_by(RUN, "stuck", replicas=1))
    await asyncio.wait_for(changed, SECONDS)

    asked = [event["verb"] for event in fleet.requests()[before:] if event["objectRef"]["resource"] == "deployments"]
    looks = 2
    assert asked.count("list") == looks + 1
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(fleet.workers.changed(), 1)


async def test_a_deployment_that_is_missing_is_awaited_and_its_end_is_noticed(fleet: Fleet) -> None:
    with pytest.raises(AwaitingChange):
        await fleet.look()
    changed = asyncio.create_task(fleet.workers.changed())
    await fleet.apply(manifest(replicas=0))
    await asyncio.wait_for(changed, SECONDS)
    await fleet.look()
    changed = asyncio.create_task(fleet.workers.changed())
    await fleet.kubectl("delete", "deployment", "worker")
    await asyncio.wait_for(changed, SECONDS)


async def test_a_change_between_the_look_and_the_wait_is_not_missed(fleet: Fleet) -> None:
    await fleet.apply(manifest(replicas=0))
    await fleet.look()
    await fleet.kubectl("delete", "deployment", "worker")
    await fleet.apply(manifest(replicas=0))
    await asyncio.wait_for(fleet.workers.changed(), SECONDS)


async def test_without_a_look_there_is_nothing_to_wait_for_and_nothing_is_asked(fleet: Fleet) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(fleet.workers.changed(), 0.5)
    assert fleet.requests() == []
