"""Uninstalling as README.md tells it, with recoveries in every state; in a cluster of its own, with its commands.

What the script does by itself is in `tests/manifests/test_uninstall_script.py`; what README.md says for a cluster whose
operator cannot run any more is tried on a real node (`tests/node/test_uninstall.py`).
"""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.kubectl import KubectlError
from sandbox.processes import until
from tests import readme
from tests.e2e.conftest import open_team
from tests.e2e.team import Team, envelope
from tests.mongodb import Database

pytestmark = pytest.mark.thorough

LEFT = "crd,clusterrole,clusterrolebinding,namespace,rolebinding,deployment"
_SECONDS = 120
"""For each wait: an operator starts, and its namespace goes, between others' tests."""


class Cluster:
    """A cluster without the operator, at first."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def install(self) -> None:
        """Install it as README.md says, without waiting for its pods: a test waits for what they do."""

        async def applied() -> bool:
            try:
                await self.sandbox.kubectl(*readme.command("Install", "kubectl apply -k manifests/").split()[1:])
            except KubectlError:  # the namespace of the last test is still terminating
                return False
            return True

        await until(applied, "the manifests to be applied", seconds=_SECONDS)

    async def stop_operator(self) -> None:
        """End the operator without its having a chance to do anything."""
        pods = await self.sandbox.kubectl("get", "pods", "-n", "queue-recovery", "-o", "name")
        await self.sandbox.kubectl("scale", "-n", "queue-recovery", "deployment/queue-recovery", "--replicas=0")
        await self.sandbox.kubectl(
            "delete", "-n", "queue-recovery", "--grace-period=1", "--ignore-not-found", *pods.split()
        )

    async def succeeds(self, command: str) -> str:
        """Run a command as it is written in README.md, and return what it wrote."""
        code, output = await readme.run(
            command, kubeconfig=self.sandbox.kubeconfig, kubectl=self.sandbox.kubectl_program
        )
        assert code == 0, output
        return output

    async def left(self) -> list[str]:
        """Return what is left of the operator in the cluster."""
        found = await self.sandbox.kubectl("get", LEFT, "--all-namespaces", "-o", "name")
        return [name for name in found.split() if "queue-recovery" in name or "queuerecover" in name]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    async with Sandbox.start() as sandbox:
        yield Cluster(sandbox)


@pytest_asyncio.fixture(loop_scope="session")
async def team(cluster: Cluster, broker: Broker, store: Database, databases: Iterator[int]) -> AsyncIterator[Team]:
    """A team in a cluster with the operator, which stays when everything of the operator is gone."""
    await cluster.install()
    async with (
        cluster.sandbox.namespace() as namespace,
        open_team(cluster.sandbox, namespace, broker, store, databases) as team,
    ):
        await team.stubborn_workers(grace=3)

        async def accepted() -> bool:
            try:
                await team.target()
            except KubectlError:  # the API server does not know its definition yet
                return False
            return True

        await until(accepted, "the target to be accepted")
        await team.redis.lpush("work", envelope("t"))
        yield team


async def test_all_recoveries_end_and_their_workers_come_back_before_anything_is_removed(
    cluster: Cluster, team: Team
) -> None:
    await team.recovery("finished", queue="nothing")
    await team.recovery("waiting", targetRef={"name": "nobody"})
    await team.recovery("held", suspend=True)
    await team.reached("Failed", "finished")
    await team.waits("Suspended", "held")
    await team.recovery()
    await _drains(team)

    output = await cluster.succeeds(readme.commands("Uninstall")[0])

    assert await cluster.left() == [], output
    await _in_order(team)
    assert await team.redis.keys("queuerecovery.dev:lock:*") == []


async def test_deleting_the_manifests_waits_for_a_running_recovery_alone_which_ends_when_they_are_applied_again(
    cluster: Cluster, team: Team
) -> None:
    await team.kubectl("delete", "deployment", "worker")
    await team.stubborn_workers()
    await team.recovery("waiting", targetRef={"name": "nobody"})
    await team.recovery("held", suspend=True)
    await team.waits("TargetNotFound", "waiting")
    await team.waits("Suspended", "held")
    await team.recovery()
    await _drains(team)
    await cluster.stop_operator()  # which could end this one too before it goes itself: then nothing is waited for
    await cluster.sandbox.kubectl("delete", "-k", "manifests/", "--wait=false")

    async def alone() -> bool:
        left = (await team.api.get(team.path("QueueRecovery")))["items"]
        return [one["metadata"]["name"] for one in left] == ["stuck"]

    await until(alone, "those that have touched nothing to go", seconds=_SECONDS)
    await cluster.install()

    async def gone() -> bool:
        return "queuerecoveries" not in await cluster.sandbox.kubectl("get", "crd", "-o", "name")

    async with team.workers_end():
        await _in_order(team)
    await until(gone, "the deletion to go on", seconds=_SECONDS)


async def _drains(team: Team) -> None:
    async def scaled() -> bool:
        return await team.replicas() == 0

    await until(scaled, "the workers to be scaled to 0", seconds=_SECONDS)


async def _in_order(team: Team) -> None:
    async def back() -> bool:
        deployment = await team.get("Deployment", "worker")
        metadata = deployment["metadata"]
        owners = {entry["manager"] for entry in metadata["managedFields"]}
        traces = [*metadata.get("labels", ()), *(owners & {"queue-recovery"})]
        return deployment["spec"]["replicas"] == 2 and not traces

    await until(back, "the workers to be back without a trace", seconds=_SECONDS)
