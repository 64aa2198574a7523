"""A Rollout of Argo Rollouts is stopped and scaled back as a Deployment is, but not in the middle of an update."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from queue_recovery.api.worker_ref import ROLLOUT
from tests import rollouts
from tests.rollouts import RolloutsController, rollout
from tests.workers.fleet import RUN, Fleet, SlowWorkers, manifest, note
from tests.workers.test_scale_back import traces


@pytest.fixture
async def rollouts_fleet(fleet: Fleet) -> AsyncIterator[Fleet]:
    """A namespace with Rollouts and their controller."""
    await rollouts.define(fleet.api, rollouts.CRD)
    fleet.gvk = ROLLOUT
    async with RolloutsController(fleet.api, fleet.namespace).running():
        yield fleet


async def test_it_is_held_drained_and_scaled_back_and_nothing_of_that_stays(
    rollouts_fleet: Fleet, tmp_path: Path
) -> None:
    fleet, slow = rollouts_fleet, SlowWorkers(tmp_path)
    before = await fleet.roll_out(rollout(manifest(script=slow.script)))
    await slow.running(2)

    held = await fleet.hold()

    assert ((await fleet.deployment())["spec"]["replicas"], (await fleet.look()).note) == (0, note(2))
    assert held.images == before.images == {"main": "queue-recovery:test"}
    assert not (await fleet.look()).drained
    slow.end()
    await fleet.drained()
    assert await fleet.workers.scale_back(fleet.ref(), held.uid, RUN) == 2
    assert (await fleet.await_rollout()).replicas == 2
    assert traces(await fleet.deployment()) == []
