"""A node that does not answer any more: its pods live on where nobody sees them."""

import pytest

from sandbox.node.cluster import NodeCluster
from tests.node.cluster import Cluster
from tests.node.team import Team, job_ids, worker

pytestmark = pytest.mark.own_node

JOBS = job_ids(2)
_AWAY = "node.kubernetes.io/unreachable"


async def test_a_kubelet_that_is_away_in_the_drain_beyond_its_grace_is_waited_for(team: Team) -> None:
    node = _node(team.cluster)
    soon = [{"key": _AWAY, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}]
    await team.set_up(workers=[worker(replicas=2, pod={"tolerations": soon})])
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await node.stop_kubelet()
    try:
        await team.recover("kubelet-away", JOBS)
        await team.says("kubelet-away", 'waiting for the pods of "tts-worker" to end', "its node may be away")
        ready = "--for=condition=Ready=Unknown"
        await team.cluster.kubectl("wait", ready, "node/node-1", "--timeout=90s", seconds=100)
        assert (await team.status("kubelet-away"))["phase"] == "Draining"
    finally:
        await node.start_kubelet()
    await team.reached("kubelet-away", "Succeeded", seconds=240)

    await team.done(*JOBS)
    await team.ran_once(*JOBS)
    assert await team.replicas("tts-worker") == 2


async def test_a_pod_that_is_deleted_by_force_while_its_process_lives_is_told_of_until_it_ends(team: Team) -> None:
    node = _node(team.cluster)
    await team.set_up(workers=[worker(pod={"terminationGracePeriodSeconds": 5})])
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    [pod] = await team.pods("tts-worker")
    await node.stop_kubelet()
    try:
        await team.recover("forced", JOBS)
        await team.says("forced", "waiting for the pods of")
        await team.kubectl("delete", "pod", pod["metadata"]["name"], "--force", "--grace-period=0")
        await team.says("forced", "UnknownConsumer", pod["status"]["podIP"], "CLIENT KILL ID")
    finally:
        await node.start_kubelet()
    await team.reached("forced", "Succeeded", seconds=240)

    await team.done(*JOBS)
    await team.ran_once(*JOBS)


def _node(cluster: Cluster) -> NodeCluster:
    assert cluster.node is not None
    return cluster.node
