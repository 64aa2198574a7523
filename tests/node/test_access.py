"""The way to the API server: away in every phase, without permissions, and with a token whose time is over."""

import asyncio

import pytest

from tests.node import operator
from tests.node.cluster import Cluster, Object
from tests.node.operator import NAMESPACE
from tests.node.team import Team, deployment, job_ids, together, worker

JOBS = job_ids(2)
_TOKEN_SECONDS = 600
_OUTAGE_SECONDS = 100
_ENQUEUED = 60
"""Jobs, one per second: some are left when the outage begins."""
_QUEUES = ("draining", "purging", "restarting", "enqueuing", "planning")
_GRACE_SECONDS = {"draining": 90, "purging": 20}
"""Seconds that a pod of these queues takes to end: its `sleep` is no answer to SIGTERM."""


async def test_permissions_that_are_taken_away_in_the_drain_are_named_and_it_goes_on_with_them(team: Team) -> None:
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "10"]}}}}
    await team.set_up(workers=[worker(container=hook)])
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await team.recover("without-permissions", JOBS)
    await team.says("without-permissions", "waiting for the pods of")
    await team.kubectl("delete", "rolebinding", "queue-recovery")
    try:
        said = await team.says("without-permissions", "Forbidden")
        assert "queue-recovery-tenant" in said
    finally:
        await team.kubectl("apply", "-k", "manifests/tenant")

    await team.reached("without-permissions", "Succeeded")
    await team.done(*JOBS)
    await team.ran_once(*JOBS)
    assert await team.replicas("tts-worker") == 1


@pytest.mark.own_node
async def test_it_needs_no_cluster_dns_to_reach_the_api_server(cluster: Cluster) -> None:
    node = cluster.node
    assert node is not None
    await node.stop_dns()
    try:
        await cluster.kubectl("-n", NAMESPACE, "rollout", "restart", operator.DEPLOYMENT)
        await operator.rolled_out(cluster)
    finally:
        await node.start_dns()


@pytest.mark.timeout(600)  # the outage, and then the time in which the cluster itself comes back
@pytest.mark.own_node
async def test_an_api_server_that_is_away_for_100_s_in_each_phase_costs_nothing_but_the_time(team: Team) -> None:
    node = team.cluster.node
    assert node is not None
    await several_queues(team)
    await bring_into_each_phase(team)
    await node.stop_api_server()
    try:
        # Nothing but the time says that an outage has lasted.
        await asyncio.sleep(_OUTAGE_SECONDS)
    finally:
        await node.start_api_server()
    await operator.rolled_out(team.cluster)

    await team.kubectl("set", "image", "deployment/restarting", "main=stuck-queue-app:1")
    await team.suspend("planning", held=False)
    await team.kubectl("create", "secret", "generic", "late", f"--from-literal=url={redis_url(team)}")
    for name in (*_QUEUES, "pending"):
        await team.reached(name, "Succeeded", seconds=240)
    for queue in _QUEUES:
        assert await team.replicas(queue) == 1
    status = await team.status("enqueuing")
    assert (status["jobs"]["enqueued"], status["jobs"]["skipped"]) == (_ENQUEUED, 0)


def redis_url(team: Team) -> str:
    return f"redis://redis.{team.namespace}.svc:6379/0"


def _target(name: str, secret: str, queues: tuple[str, ...]) -> Object:
    listed = [{"name": queue, "workers": [{"name": queue}], "message": {"task": "tts.render"}} for queue in queues]
    return {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueTarget",
        "metadata": {"name": name},
        "spec": {"broker": {"urlSecretRef": {"name": secret, "key": "url"}}, "queues": listed},
    }


async def several_queues(team: Team) -> None:
    """Start a worker of each queue, and describe the queues in a target; another one's Secret is not there yet."""
    await team.set_up()
    await team.cluster.apply(
        *[
            deployment(
                queue, ["sleep", "infinity"], pod={"terminationGracePeriodSeconds": _GRACE_SECONDS.get(queue, 1)}
            )
            for queue in (*_QUEUES, "pending")
        ],
        _target("several", "redis", _QUEUES),
        _target("late", "late", ("pending",)),
        namespace=team.namespace,
    )
    await team.rolled_out(*_QUEUES)


async def bring_into_each_phase(team: Team) -> None:
    """Bring a recovery of each queue into the phase that the queue is called by."""
    await team.kubectl("set", "image", "deployment/restarting", "main=localhost/there-is-none:1")
    await together(*(_recover(team, queue) for queue in (*_QUEUES, "pending") if queue not in _GRACE_SECONDS))
    await together(
        team.reached("pending", "Pending"),
        team.says("planning", "suspend"),
        team.says("restarting", "ImagePull"),
        team.reached("enqueuing", "Reenqueuing"),
    )
    await together(*(_recover(team, queue) for queue in _GRACE_SECONDS))
    await together(*(team.says(queue, "waiting for the pods of") for queue in _GRACE_SECONDS))

    async def purges() -> bool:
        # Redis answers no write for half a minute from now on, which ends while the API server is away: a purge of
        # nothing takes no time.
        await team.redis("CLIENT", "PAUSE", "30000", "WRITE")
        return bool((await team.status("purging"))["phase"] == "Purging")

    await team.cluster.until(purges, "recovery purging to be Purging", seconds=180)
    assert (await team.status("draining"))["phase"] == "Draining"
    assert (await team.status("enqueuing"))["phase"] == "Reenqueuing"


async def _recover(team: Team, queue: str) -> None:
    jobs = [{"task": "tts.render", "args": '["x"]'}] * (_ENQUEUED if queue == "enqueuing" else 1)
    spec: Object = {
        "targetRef": {"name": "late" if queue == "pending" else "several"},
        "queue": queue,
        "jobs": jobs,
        "suspend": queue == "planning",
        "reenqueue": {"ratePerSecond": 1},
    }
    body = {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueRecovery",
        "metadata": {"name": queue},
        "spec": spec,
    }
    await team.cluster.apply(body, namespace=team.namespace)
