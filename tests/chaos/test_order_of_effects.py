"""The order of effects, seen in one operator's trace while others interfere."""

import json
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from queue_recovery.controller.cluster_identity import cluster_identity
from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.namespace_caches import NamespaceCaches
from queue_recovery.controller.resource import KubernetesResource
from queue_recovery.recovery.destinations import ANYWHERE
from queue_recovery.recovery.drain import stop_workers
from queue_recovery.recovery.intent import record_intent
from queue_recovery.recovery.phase import moment
from queue_recovery.recovery.plan import plan
from queue_recovery.recovery.ports import ScaleBackNote
from queue_recovery.recovery.ports.resource import Superseded
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.permissions import ServiceAccount
from sandbox.processes import until
from tests.chaos.points import Crossing, Fault, Moment, Point
from tests.chaos.scenario import GRACE, REPLICAS, Scenario
from tests.chaos.servers import Fixture, Servers
from tests.e2e.team import condition, envelope
from tests.sample_worker import ref
from tests.turns import alone
from tests.workers.fleet import connected

pytestmark = pytest.mark.thorough


def at(name: str) -> Callable[[Crossing], bool]:
    """Tell whether the operator is held there."""
    return lambda one: one.moment is Moment.HIT and one.name == name


async def test_a_cancel_in_the_middle_of_a_purge_refuses_late_takers_before_workers_come_back(
    servers: Servers,
) -> None:
    boundary = Point(name="redis boundary", number=1, side="before", fault=Fault.HOLD)
    async with (
        servers.fixture() as fixture,
        fixture.scenario.recovering(),
        servers.operators.start(fixture.environment, [boundary]) as operator,
    ):
        await operator.crosses(at(boundary.name or ""), "the boundary")
        await fixture.scenario.change(cancel=True)
        await fixture.scenario.watched.becomes(lambda watched: watched.released, "its end")
        done = [one.name for one in operator.crossings() if one.moment is Moment.AFTER]

    assert done.index("redis close") < done.index("k8s scale back")


async def test_a_process_that_was_held_up_before_the_drain_stops_no_worker_once_another_has_ended_it(
    servers: Servers,
) -> None:
    async with _about_to_drain(servers) as (fixture, held_up):
        scenario = fixture.scenario
        async with servers.operators.start(fixture.environment):
            await scenario.change(cancel=True)
            await scenario.watched.becomes(lambda watched: watched.released, "its end")
        with pytest.raises(Superseded):
            await stop_workers(held_up)

        assert await scenario.replicas() == REPLICAS


async def test_pods_that_went_while_no_operator_ran_count_as_ended_once_their_grace_period_is_over(
    servers: Servers,
) -> None:
    async with _about_to_drain(servers) as (fixture, recovery):
        (worker,) = await recovery.environment.workers.look([ref("worker")])
        note = ScaleBackNote(uid=recovery.resource.uid, name=recovery.resource.name, replicas=REPLICAS)
        await recovery.environment.workers.scale_to_zero(worker, note)

        async def drained() -> bool:
            return (await recovery.environment.workers.look([ref("worker")]))[0].drained

        await until(drained, "the pods to end")
        await stop_workers(recovery)

        said = condition((await fixture.scenario.status()), "Reconciling")
        assert said["reason"] == "PodVanished"
        assert f'the end of {REPLICAS} pods of "worker" was not observed' in said["message"]
        assert recovery.status.drain_start_time is not None
        over = moment(recovery.status.drain_start_time) + timedelta(seconds=GRACE)
        assert over < recovery.environment.now()


@asynccontextmanager
async def _about_to_drain(servers: Servers) -> AsyncIterator[tuple[Fixture, Recovery]]:
    """Work on a recovery until the intent to stop the workers is written."""
    async with servers.fixture() as fixture, fixture.scenario.recovering(), connected(servers.kubeconfig) as api:
        world = KubernetesEnvironment(
            api,
            NamespaceCaches(Connections.all_by(api), fixture.scenario.namespace, ServiceAccount()),
            cluster=cluster_identity(api),
            destinations=ANYWHERE,
        )
        resource = KubernetesResource(api, fixture.scenario.watched.body, written=lambda *_: None)
        recovery = Recovery(resource=resource, environment=world, status=await resource.read(), turn=alone())
        await plan(recovery)
        await record_intent(recovery)
        await (await recovery.run()).open()
        yield fixture, recovery
        await recovery.disconnect()


async def test_what_a_disturbed_attempt_leaves_behind_is_taken_by_the_next_one(servers: Servers) -> None:
    boundary = Point(name="redis boundary", number=1, side="after", fault=Fault.HOLD)
    async with (
        servers.fixture() as fixture,
        fixture.scenario.recovering(),
        servers.operators.start(fixture.environment, [boundary]) as operator,
    ):
        await operator.crosses(at(boundary.name or ""), "the boundary")
        await _disturb(fixture.scenario)
        operator.send(signal.SIGUSR1)
        await fixture.scenario.watched.becomes(lambda watched: watched.released, "its end")
        status, uid = fixture.scenario.watched.status, fixture.scenario.uid
        taken = await fixture.scenario.redis.lrange(f"queuerecovery.dev:quarantine:{uid}:2:ready:0", 0, -1)

    assert status["phase"] == "Succeeded"
    assert status["purge"]["attempt"] == 2
    assert any(b'"given-back"' in message for message in taken)


async def _disturb(scenario: Scenario) -> None:
    """Do what a worker does that somebody scales up and down again: it holds a message, and gives another one back."""
    await scenario.redis.hset("unacked", "late", json.dumps([json.loads(envelope("late")), "", "work"]))
    await scenario.redis.zadd("unacked_index", {"late": scenario.delivered})
    await scenario.redis.lpush("work", envelope("given-back"))
    deployment = f"/apis/apps/v1/namespaces/{scenario.namespace}/deployments/worker"
    await scenario.api.patch(deployment, {"metadata": {"annotations": {"scaled-by": "somebody"}}})
