"""The operator's own pods are evicted, killed for their memory, and drained with their node."""

import json

import pytest
import yaml

from tests.node import operator
from tests.node.cluster import Cluster
from tests.node.operator import DEPLOYMENT, LABEL, NAMESPACE
from tests.node.team import Team, job_ids, worker

JOBS = job_ids(2)


async def drained_slowly(team: Team, name: str) -> None:
    """Bring a recovery into its drain, in which the workers stay for 20 s."""
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "20"]}}}}
    await team.set_up(workers=[worker(replicas=1, container=hook)])
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await team.recover(name, JOBS)
    await team.says(name, "waiting for the pods of")


async def ended_well(team: Team, name: str) -> None:
    """Wait for the end of that recovery and look at what it did."""
    await team.reached(name, "Succeeded", seconds=180)
    await team.done(*JOBS)
    await team.ran_once(*JOBS)
    assert await team.replicas("tts-worker") == 1


async def test_a_leader_that_is_evicted_in_the_drain_hands_over_at_once(cluster: Cluster, team: Team) -> None:
    await drained_slowly(team, "evicted")
    leader = await operator.leader(cluster)
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": leader, "namespace": NAMESPACE}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{leader}/eviction"
    await cluster.kubectl("create", "--raw", path, "-f", "-", given=json.dumps(eviction))

    await ended_well(team, "evicted")
    assert await operator.leader(cluster) != leader
    await operator.rolled_out(cluster)


async def test_an_operator_without_enough_memory_goes_on_when_it_gets_more(cluster: Cluster, team: Team) -> None:
    await drained_slowly(team, "tiny")
    await limit(cluster, "24Mi", replicas=0)
    await cluster.kubectl("-n", NAMESPACE, "scale", DEPLOYMENT, "--replicas=1")
    try:

        async def killed() -> bool:
            found = [pod["status"].get("containerStatuses", ()) for pod in await operator.pods(cluster)]
            return any("OOMKilled" in json.dumps(one) or "StartError" in json.dumps(one) for one in found)

        await cluster.until(killed, "the operator to be killed for its memory", seconds=120)
    finally:
        await limit(cluster, "512Mi", replicas=2)
        await operator.rolled_out(cluster)

    await ended_well(team, "tiny")


@pytest.mark.own_node
async def test_a_drained_node_takes_the_operator_away_and_gives_it_back(cluster: Cluster, team: Team) -> None:
    await drained_slowly(team, "drained-node")
    selector = f"--pod-selector={LABEL}"
    await cluster.kubectl("drain", "node-1", selector, "--delete-emptydir-data", "--timeout=60s", seconds=90)
    try:
        assert [pod["status"]["phase"] for pod in await operator.pods(cluster)] == ["Pending", "Pending"]
    finally:
        await cluster.kubectl("uncordon", "node-1")

    await ended_well(team, "drained-node")
    await operator.rolled_out(cluster)


@pytest.mark.own_node
async def test_it_runs_as_a_user_that_openshift_chooses(cluster: Cluster, team: Team) -> None:
    """Its admission gives a pod a user ID of the namespace, which is in group 0 and nowhere in the image."""
    objects = list(yaml.safe_load_all(await cluster.kubectl("kustomize", "manifests/openshift")))
    [deployment] = [body for body in objects if body["kind"] == "Deployment"]
    context = deployment["spec"]["template"]["spec"]["securityContext"]
    assert not {"runAsUser", "runAsGroup", "fsGroup"} & set(context)
    context |= {"runAsUser": 1000650000, "fsGroup": 1000650000}
    await cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))
    await operator.rolled_out(cluster)
    try:
        leader = await operator.leader(cluster)
        identity = await cluster.kubectl("exec", "-n", NAMESPACE, leader, "--", "id")
        assert "uid=1000650000 gid=0(root)" in identity
        await drained_slowly(team, "openshift")
        await ended_well(team, "openshift")
    finally:
        await operator.install(cluster)


async def limit(cluster: Cluster, memory: str, *, replicas: int) -> None:
    """Set the operator's memory limit and its replicas."""
    container = {"name": "operator", "resources": {"limits": {"memory": memory}, "requests": {"memory": "16Mi"}}}
    body = {"spec": {"replicas": replicas, "template": {"spec": {"containers": [container]}}}}
    await cluster.kubectl("-n", NAMESPACE, "patch", DEPLOYMENT, "--patch", json.dumps(body))
