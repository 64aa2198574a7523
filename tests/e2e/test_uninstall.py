"""Uninstalling as README.md tells it, with recoveries in every state; in a cluster of its own, with its commands."""

import json
import shlex
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from sandbox.api import Json
from sandbox.broker import Broker
from sandbox.cluster import KubectlError, Sandbox
from sandbox.processes import until
from tests import readme
from tests.e2e.conftest import open_team
from tests.e2e.team import Team, envelope
from tests.held import held_by
from tests.mongodb import Database

LEFT = "crd,clusterrole,clusterrolebinding,namespace,rolebinding,deployment"
_SECONDS = 120
"""For each wait: an operator starts, and its namespace goes, between others' tests."""

_MEANWHILE = """#!/bin/sh
# kubectl, and what others do right before the first of its commands that begins so.
case "$*" in {beginning}*)
  if mkdir {folder}/done 2>/dev/null; then
    {others} >&2
  fi
esac
exec {kubectl} "$@"
"""


class Cluster:
    """A cluster without the operator, at first."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def install(self) -> None:
        """Install it as README.md says."""

        async def applied() -> bool:
            try:
                await self.sandbox.kubectl(*readme.command("Install", "kubectl apply -k manifests/").split()[1:])
            except KubectlError:  # the namespace of the last test is still terminating
                return False
            return True

        await until(applied, "the manifests to be applied", seconds=_SECONDS)
        await self.sandbox.kubectl(
            "rollout", "status", "-n", "queue-recovery", "deployment/queue-recovery", seconds=_SECONDS
        )

    async def stop_operator(self) -> None:
        """End the operator without its having a chance to do anything."""
        pods = await self.sandbox.kubectl("get", "pods", "-n", "queue-recovery", "-o", "name")
        await self.sandbox.kubectl("scale", "-n", "queue-recovery", "deployment/queue-recovery", "--replicas=0")
        await self.sandbox.kubectl(
            "delete", "-n", "queue-recovery", "--grace-period=1", "--ignore-not-found", *pods.split()
        )

    async def run(self, command: str, *, kubectl: Path | None = None, **environment: str) -> tuple[int, str]:
        """Run a command as it is written in README.md."""
        program = kubectl or self.sandbox.kubectl_program
        return await readme.run(command, kubeconfig=self.sandbox.kubeconfig, kubectl=program, **environment)

    def meanwhile(self, folder: Path, beginning: str, *others: tuple[str, ...]) -> Path:
        """Write a kubectl that runs other kubectl commands before one of its own; return its path.

        Args:
            folder: an empty one.
            beginning: of the command line before which the others are run, once.
            others: the arguments of each.
        """
        real = self.sandbox.kubectl_program
        lines = " && ".join(shlex.join([str(real), *one]) for one in others)
        kubectl = folder / "kubectl"
        kubectl.write_text(
            _MEANWHILE.format(beginning=shlex.quote(beginning), folder=folder, others=f"{{ {lines}; }}", kubectl=real)
        )
        kubectl.chmod(0o700)
        return kubectl

    async def succeeds(self, command: str, **environment: str) -> str:
        """Run a command, and return what it wrote."""
        code, output = await self.run(command, kubectl=None, **environment)
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
        await team.target()
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

    await _serves(cluster, team)


async def test_the_definitions_can_stay_and_with_them_the_targets_and_what_is_finished(
    cluster: Cluster, team: Team
) -> None:
    await team.recovery("finished", queue="nothing")
    await team.reached("Failed", "finished")
    await team.recovery()
    await _drains(team)

    await cluster.succeeds(readme.command("Uninstall", "sh manifests/uninstall.sh --keep-definitions"))

    assert await cluster.left() == [
        "customresourcedefinition.apiextensions.k8s.io/queuerecoveries.queuerecovery.dev",
        "customresourcedefinition.apiextensions.k8s.io/queuetargets.queuerecovery.dev",
    ]
    assert await team.kubectl("get", "qt", "-o", "name") == "queuetarget.queuerecovery.dev/team\n"
    recoveries = json.loads(await team.kubectl("get", "qr", "-o", "json"))["items"]
    # The other one is among them if it was faster than its deletion.
    assert "finished" in [one["metadata"]["name"] for one in recoveries]
    assert all("completionTime" in one["status"] for one in recoveries)
    assert await team.replicas() == 2


async def test_without_an_operator_it_stops_and_the_workers_and_the_recovery_are_rescued_by_hand(
    cluster: Cluster, team: Team
) -> None:
    await team.recovery()
    await _drains(team)
    await cluster.stop_operator()

    code, output = await cluster.run(readme.commands("Uninstall")[0], TIMEOUT="3")
    assert code != 0
    assert f"{team.namespace} stuck" in output
    assert 'these recoveries wait for the operator, which does not run in namespace "queue-recovery"' in output
    assert await team.replicas() == 0

    listed = await cluster.succeeds(readme.command("Uninstall", "kubectl get deployments"))
    _, line = listed.splitlines()
    assert line.split()[:2] == [team.namespace, "worker"]
    assert line.split()[-2:] == ["stuck", "2"]

    await _remove_by_hand(cluster, team)
    code, output = await cluster.run(readme.commands("Uninstall")[0])
    assert code != 0
    assert f"{team.namespace}/worker: " in output
    assert "sh manifests/scale-back.sh" in output

    await cluster.succeeds(readme.command("Uninstall", "sh manifests/scale-back.sh"))
    await _in_order(team)
    assert "no Deployment is scaled down" in await cluster.succeeds("sh manifests/scale-back.sh")

    await cluster.succeeds(readme.commands("Uninstall")[0])
    assert await cluster.left() == []


async def test_after_a_rescue_the_next_recovery_takes_over_what_the_broker_still_holds(
    cluster: Cluster, team: Team
) -> None:
    await team.recovery()
    await _drains(team)
    await cluster.stop_operator()
    await _remove_by_hand(cluster, team)
    assert await team.redis.keys("queuerecovery.dev:lock:*") != []
    await cluster.install()

    await team.recovery("next")
    await team.reached("Succeeded", "next")

    assert "TakenOver" in await team.events("next")
    await _in_order(team)
    assert await team.redis.keys("queuerecovery.dev:lock:*") == []


async def test_deleting_the_manifests_is_not_held_up_by_recoveries_that_have_touched_nothing(
    cluster: Cluster, team: Team
) -> None:
    await team.recovery("waiting", targetRef={"name": "nobody"})
    await team.recovery("held", suspend=True)
    await team.waits("Suspended", "held")

    await cluster.sandbox.kubectl("delete", "-k", "manifests/", f"--timeout={_SECONDS}s", seconds=_SECONDS)

    await _serves(cluster, team)


async def test_after_deleting_the_manifests_under_a_running_recovery_applying_them_again_brings_its_workers_back(
    cluster: Cluster, team: Team
) -> None:
    # They end when the operator is back: a recovery that ends before it goes would let the definitions go too.
    await team.kubectl("delete", "deployment", "worker")
    await team.stubborn_workers()
    await team.recovery()
    await _drains(team)
    await cluster.sandbox.kubectl("delete", "-k", "manifests/", "--wait=false")

    await cluster.install()

    async def gone() -> bool:
        return "queuerecoveries" not in await cluster.sandbox.kubectl("get", "crd", "-o", "name")

    async with team.workers_end():
        await _in_order(team)
    await until(gone, "the deletion to go on", seconds=_SECONDS)


@pytest.mark.parametrize("options", ["", " --keep-definitions"])
async def test_a_recovery_that_begins_while_the_operator_is_removed_stops_it_before_anything_else_is_removed(
    cluster: Cluster, team: Team, tmp_path: Path, options: str
) -> None:
    await team.kubectl("delete", "deployment", "worker")
    await team.stubborn_workers()
    kubectl = cluster.meanwhile(
        tmp_path, "delete deployment queue-recovery", *_created_again(team, tmp_path / "recovery.yaml")
    )
    before = set(await cluster.left())

    code, output = await cluster.run(f"sh manifests/uninstall.sh{options}", kubectl=kubectl)

    assert code == 1, output
    assert f"{team.namespace} stuck Draining" in output
    assert f"{team.namespace}/worker: " in output
    assert "kubectl apply -k manifests/" in output
    # As sets: the namespace of the test before may still be going, with a RoleBinding of the same name.
    assert set(await cluster.left()) == {name for name in before if not name.startswith("deployment.apps/")}

    code, output = await cluster.run(f"sh manifests/uninstall.sh{options}", TIMEOUT="3")
    assert code == 1, output
    assert "these recoveries wait for the operator" in output

    await cluster.install()
    async with team.workers_end():
        await cluster.succeeds(f"sh manifests/uninstall.sh{options}")
    await _in_order(team)
    assert set(await cluster.left()) == {name for name in before if name.startswith("customresource") and options}


async def test_a_recovery_that_begins_after_the_last_look_at_the_others_is_ended_too(
    cluster: Cluster, team: Team, tmp_path: Path
) -> None:
    kubectl = cluster.meanwhile(
        tmp_path, "get deployments --all-namespaces", *_created_again(team, tmp_path / "recovery.yaml")
    )

    code, output = await cluster.run("sh manifests/uninstall.sh", kubectl=kubectl)

    assert code == 0, output
    assert await cluster.left() == []
    await _in_order(team)


@pytest.mark.usefixtures("team")
async def test_pods_of_an_operator_without_a_deployment_stop_it_before_anything_is_removed(cluster: Cluster) -> None:
    operator = ("-n", "queue-recovery", "-l", "app.kubernetes.io/name=queue-recovery")
    await cluster.sandbox.kubectl("delete", "deployment", *operator, "--cascade=orphan")
    before = set(await cluster.left())

    code, output = await cluster.run("sh manifests/uninstall.sh", TIMEOUT="3")

    assert code == 1, output
    assert 'these pods of the operator still run in namespace "queue-recovery"' in output
    assert set(await cluster.left()) == before

    await cluster.sandbox.kubectl("delete", "replicasets", *operator)
    await cluster.succeeds("sh manifests/uninstall.sh")
    assert await cluster.left() == []


async def test_a_deployment_that_is_scaled_down_while_the_rights_are_removed_is_named(
    cluster: Cluster, team: Team, tmp_path: Path
) -> None:
    kubectl = cluster.meanwhile(
        tmp_path,
        "delete clusterrolebindings",
        ("scale", "deployment/worker", "-n", team.namespace, "--replicas=0"),
        ("label", "deployment/worker", "-n", team.namespace, *held_by("u", "stuck", replicas=2)),
    )

    code, output = await cluster.run("sh manifests/uninstall.sh", kubectl=kubectl)

    assert code == 1, output
    assert f"  {team.namespace}/worker: scale back to 2" in output.splitlines()
    assert "sh manifests/scale-back.sh" in output
    assert await cluster.left() == []


async def test_lines_of_a_tenants_message_delete_no_recovery_of_another_namespace(
    cluster: Cluster, team: Team, broker: Broker, store: Database, databases: Iterator[int]
) -> None:
    async with (
        cluster.sandbox.namespace() as other,
        open_team(cluster.sandbox, other, broker, store, databases) as victim,
    ):
        await victim.recovery("precious", cancel=True)
        await victim.reached("Cancelled", "precious")
        lines = f"x\n{other} precious \n"
        await team.recovery(suspend=True)
        await team.waits("Suspended")
        # The operator writes one line, also of what others have written; an earlier version of it did not.
        status = json.dumps({"status": {"message": lines}})
        await team.kubectl("patch", "qr", "stuck", "--subresource=status", "--type=merge", "-p", status)

        code, output = await cluster.run("sh manifests/uninstall.sh --keep-definitions", TIMEOUT="0")
        await cluster.succeeds("sh manifests/uninstall.sh --keep-definitions")

        assert "/precious" in await victim.kubectl("get", "qr", "-o", "name")
        assert await team.kubectl("get", "qr", "-o", "name") == ""
        assert code == 1
        (line,) = (line for line in output.splitlines() if "precious" in line)
        assert line.startswith(f'{team.namespace} stuck Planning: "')


async def test_lines_of_a_role_bindings_name_delete_no_role_binding_of_another_namespace(
    cluster: Cluster, team: Team
) -> None:
    async with cluster.sandbox.namespace() as other:
        path = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings"
        odd = f"x\n{other} precious"
        await team.api.create(path.format(other), _binding("precious", "ClusterRole", "view"))
        await team.api.create(path.format(other), _binding("own", "Role", "queue-recovery-tenant"))
        await team.api.create(path.format(team.namespace), _binding(odd, "ClusterRole", "queue-recovery-tenant"))

        output = await cluster.succeeds("sh manifests/uninstall.sh")

        assert await _names(team, path.format(other)) == ["own", "precious"]
        assert await _names(team, path.format(team.namespace)) == [odd]
        assert rf'"x\n{other} precious" in namespace "{team.namespace}"' in output


def _created_again(team: Team, file: Path) -> list[tuple[str, ...]]:
    """Return the commands that create a recovery, as a Git tool does, and wait until it has stopped the workers."""
    recovery = {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueRecovery",
        "metadata": {"name": "stuck", "namespace": team.namespace},
        "spec": {"targetRef": {"name": "team"}, "queue": "work", "jobs": []},
    }
    file.write_text(yaml.safe_dump(recovery))
    scaled = "--for=jsonpath={.spec.replicas}=0"
    return [
        ("apply", "-f", str(file)),
        ("wait", scaled, "deployment/worker", "-n", team.namespace, "--timeout=60s"),
    ]


def _binding(name: str, kind: str, role: str) -> Json:
    """Return a RoleBinding of nobody's."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
    }


async def _names(team: Team, path: str) -> list[str]:
    """Return the names of the objects in a collection."""
    return sorted(one["metadata"]["name"] for one in (await team.api.get(path))["items"])


async def _serves(cluster: Cluster, team: Team) -> None:
    """Install again, and recover."""
    await cluster.install()
    await team.let_the_operator_in()
    await team.target()
    await team.recovery("again")
    await team.reached("Succeeded", "again", seconds=_SECONDS)


async def _remove_by_hand(cluster: Cluster, team: Team) -> None:
    for command in readme.commands("Uninstall"):
        if command.startswith(("kubectl delete qr NAME", "kubectl patch qr NAME")):
            await cluster.succeeds(command.replace("NAMESPACE", team.namespace).replace("NAME", "stuck"))


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
