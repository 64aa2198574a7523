"""README.md's own commands in a shell: uninstalling, a rescue without the operator, definitions that come late."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests import readme
from tests.node import operator
from tests.node.cluster import Cluster
from tests.node.operator import DEPLOYMENT, NAMESPACE
from tests.node.shell import Shell
from tests.node.team import Team, job_ids, worker

# Not on another's cluster: they delete the recoveries of everybody there.
pytestmark = pytest.mark.own_node

JOBS = job_ids(2)


@pytest_asyncio.fixture(loop_scope="session")
async def shell(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Shell]:
    """A shell; the operator is installed again afterwards in any case."""
    yield Shell(cluster, tmp_path)
    await operator.install(cluster)


async def _draining(team: Team) -> None:
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "20"]}}}}
    await team.set_up(workers=[worker(replicas=2, container=hook)])
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await team.recover("stuck", JOBS)
    await team.says("stuck", "waiting for the pods of")


async def test_uninstalling_with_a_recovery_in_its_drain_brings_the_workers_back_first(
    cluster: Cluster, team: Team, shell: Shell
) -> None:
    await _draining(team)

    output = await shell.succeeds(readme.commands("Uninstall")[0])

    assert await team.replicas("tts-worker") == 2, output
    kinds = "crd,clusterrole,clusterrolebinding,namespace"
    left = (await cluster.kubectl("get", kinds, "-o", "name")).split()
    assert [name for name in left if "queue-recovery" in name or "queuerecover" in name] == []


async def test_without_an_operator_the_readmes_commands_list_the_workers_and_bring_them_back(
    cluster: Cluster, team: Team, shell: Shell
) -> None:
    await _draining(team)
    await cluster.kubectl("-n", NAMESPACE, "scale", DEPLOYMENT, "--replicas=0")
    await cluster.kubectl("-n", NAMESPACE, "wait", "--for=delete", "pod", "-l", operator.LABEL, "--timeout=60s")

    listed = await shell.succeeds(readme.command("Uninstall", "kubectl get deployments"))
    _, line = listed.splitlines()
    assert line.split()[:2] == [team.namespace, "deployment.apps/tts-worker"]
    assert line.split()[-1] == "2"
    for command in readme.commands("Uninstall"):
        if command.startswith(("kubectl delete qr NAME", "kubectl patch qr NAME")):
            await shell.succeeds(command.replace("NAMESPACE", team.namespace).replace("NAME", "stuck"))
    await shell.succeeds(readme.command("Uninstall", "sh manifests/scale-back.sh"))
    assert await team.replicas("tts-worker") == 2

    # With an operator again, the next recovery takes over what the vanished one still holds in Redis.
    await operator.install(cluster)
    await team.rolled_out("tts-worker")
    await team.recover("next", JOBS)
    await team.reached("next", "Succeeded", seconds=240)
    assert "TakenOver" in await team.kubectl("get", "events")
    await team.done(*JOBS)
    await team.ran_once(*JOBS)


async def test_an_operator_without_its_definitions_waits_unready_and_serves_when_they_are_there(
    cluster: Cluster, team: Team, shell: Shell
) -> None:
    await shell.succeeds("kubectl delete queuerecoveries --all --all-namespaces --timeout=120s")
    await shell.succeeds("kubectl delete -k crds --timeout=60s")

    async def unready() -> bool:
        found = await cluster.read("deployment", "queue-recovery", "-n", NAMESPACE)
        return "readyReplicas" not in found["status"] or found["status"]["readyReplicas"] < 2

    await cluster.until(unready, "the leader not to be ready without the definitions", seconds=120)
    await cluster.kubectl("-n", NAMESPACE, "rollout", "restart", DEPLOYMENT)
    await shell.succeeds("kubectl apply -k crds")
    await operator.rolled_out(cluster)

    await team.set_up()
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await team.recover("served", JOBS)
    await team.reached("served", "Succeeded")
    await team.done(*JOBS)
