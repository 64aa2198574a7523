"""`manifests/uninstall.sh`, where others do something in the meantime, or into names and messages."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio

from sandbox.api import Api, Json
from sandbox.processes import until
from tests.manifests.conftest import Cluster, open_cluster
from tests.manifests.helm import CHART, helm
from tests.manifests.objects import recovery
from tests.manifests.uninstallation import LABEL, NAME, Installation

pytestmark = pytest.mark.thorough

_ROLE_BINDINGS = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def emptied() -> AsyncIterator[Cluster]:
    """A cluster for these tests alone, which remove the definitions."""
    async with open_cluster() as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def installed(emptied: Cluster, name: str, tmp_path: Path) -> AsyncIterator[Installation]:
    async with Api(emptied.plane.admin) as api:
        made = Installation(emptied, api, namespace=f"{name}-operator", team=name, folder=tmp_path)
        await made.apply()
        yield made
        await made.forget()


@pytest.mark.parametrize("options", [[], ["--keep-definitions"]], ids=["", "--keep-definitions"])
async def test_a_recovery_that_begins_while_the_operator_is_removed_stops_it_before_anything_else_is_removed(
    installed: Installation, options: list[str]
) -> None:
    before = installed.left()

    code, output = await installed.uninstall(
        *options, before="delete deployment queue-recovery", others=installed.begins
    )

    assert code == 1, output
    assert f"{installed.team} stuck Draining" in output
    assert f"{installed.team}/worker: " in output
    assert "kubectl apply -k manifests/" in output
    assert installed.left() == {name for name in before if not name.startswith("deployment.apps/")}

    code, output = await installed.uninstall(*options, TIMEOUT="0")
    assert code == 1, output
    assert f'these recoveries wait for the operator, which does not run in namespace "{installed.namespace}"' in output


async def test_a_recovery_that_begins_after_the_last_look_at_the_others_is_ended_too(installed: Installation) -> None:
    ending = asyncio.ensure_future(_ends(installed))
    code, output = await installed.uninstall(before="get deployments,statefulsets", others=installed.begins)
    ending.cancel()

    assert code == 0, output
    assert installed.left() == set()
    assert "No resources found" not in output
    assert "queuerecovery.dev:run:* and queuerecovery.dev:runs:*" in output


async def test_what_helm_has_installed_is_removed_too(emptied: Cluster, name: str, tmp_path: Path) -> None:
    async with Api(emptied.plane.admin) as api:
        made = Installation(emptied, api, namespace=f"{name}-operator", team=name, folder=tmp_path)
        into = ("-n", made.namespace, "--create-namespace", "--take-ownership", "--force-conflicts")
        command = ("upgrade", "--install", NAME, str(CHART), "--set=admission.enabled=true", *into)
        await asyncio.to_thread(partial(helm, *command, home=tmp_path, kubeconfig=emptied.kubeconfig))
        assert f"deployment.apps/{NAME}" in made.left()

        code, output = await made.uninstall()

        assert code == 0, output
        assert made.left() == set()


async def test_pods_of_an_operator_without_a_deployment_stop_it_before_anything_is_removed(
    installed: Installation,
) -> None:
    operator = ("-n", installed.namespace, "-l", LABEL)

    async def running() -> bool:
        return bool(installed.cluster.answer("get", "pods", *operator, "-o", "name"))

    await until(running, "the operator's pods")
    installed.cluster.kubectl("delete", "deployment", *operator, "--cascade=orphan")
    before = installed.left()

    code, output = await installed.uninstall(TIMEOUT="0")

    assert code == 1, output
    assert f'these pods of the operator still run in namespace "{installed.namespace}"' in output
    assert installed.left() == before

    installed.cluster.kubectl("delete", "replicasets", *operator)
    code, output = await installed.uninstall()
    assert code == 0, output
    assert installed.left() == set()


async def test_a_deployment_that_no_recovery_scales_back_stops_it_until_it_is_scaled_back(
    installed: Installation,
) -> None:
    await installed.scale_down()
    before = installed.left()

    code, output = await installed.uninstall()
    assert code == 1, output
    assert f"  {installed.team}/worker: scale back to 2" in output.splitlines()
    assert "sh manifests/scale-back.sh" in output
    assert installed.left() == before

    await installed.scale_back()
    code, output = await installed.uninstall()
    assert code == 0, output


@pytest.mark.parametrize("mark", ["labels", "annotations"])
async def test_a_scaled_object_that_no_recovery_unpauses_stops_it_until_it_is_unpaused(
    installed: Installation, mark: str
) -> None:
    await installed.pause_keda(mark)
    before = installed.left()

    code, output = await installed.uninstall()
    assert code == 1, output
    assert f"  {installed.team}/worker-scaler: unpause this ScaledObject" in output.splitlines()
    assert "sh manifests/scale-back.sh" in output
    assert installed.left() == before

    await installed.run_script("scale-back.sh")
    code, output = await installed.uninstall()
    assert code == 0, output


async def test_a_deployment_that_is_scaled_down_while_the_permissions_are_removed_is_named(
    installed: Installation,
) -> None:
    code, output = await installed.uninstall(before="delete clusterrolebindings", others=installed.scale_down)

    assert code == 1, output
    assert f"  {installed.team}/worker: scale back to 2" in output.splitlines()
    assert "sh manifests/scale-back.sh" in output
    assert installed.left() == set()


async def test_lines_of_a_tenants_message_delete_no_recovery_of_another_namespace(installed: Installation) -> None:
    other = installed.namespace
    await installed.create(recovery("precious"), other)
    await installed.write_status("precious", other, phase="Cancelled", completionTime="2026-01-01T00:00:00Z")
    await installed.create(recovery("stuck"))
    # The operator writes one line, also of what others have written; an earlier version of it did not.
    await installed.write_status("stuck", phase="Planning", message=f"x\n{other} precious \n")

    code, output = await installed.uninstall("--keep-definitions", TIMEOUT="0")

    assert code == 1
    (line,) = (line for line in output.splitlines() if "precious" in line)
    assert line.startswith(f'{installed.team} stuck Planning: "')

    code, output = await installed.uninstall("--keep-definitions", TIMEOUT="5")
    assert code == 0, output
    assert await installed.recoveries(other) == ["precious"]
    assert await installed.recoveries() == []
    assert all(name.startswith("customresourcedefinition.") for name in installed.left())


async def test_lines_of_a_role_bindings_name_delete_no_role_binding_of_another_namespace(
    installed: Installation,
) -> None:
    team, other = (_ROLE_BINDINGS.format(namespace) for namespace in (installed.team, "default"))
    odd = "x\ndefault precious"
    await installed.api.create(other, _binding("precious", "ClusterRole", "view"))
    await installed.api.create(other, _binding("own", "Role", f"{NAME}-tenant"))
    await installed.api.create(team, _binding(odd, "ClusterRole", f"{NAME}-tenant"))
    await installed.api.create(team, _binding(NAME, "ClusterRole", f"{NAME}-tenant"))
    await installed.api.create(team, _binding(f"{NAME}-resources", "ClusterRole", NAME))

    code, output = await installed.uninstall()

    assert code == 0, output
    assert await installed.names(other) == ["own", "precious"]
    assert await installed.names(team) == [odd]
    assert rf'"x\ndefault precious" in namespace "{installed.team}"' in output


async def _ends(installed: Installation) -> None:
    """End the recovery as soon as it has begun and is deleted."""

    async def begun() -> bool:
        return await installed.recoveries() == ["stuck"]

    await until(begun, "the recovery to begin")
    await installed.ends()


def _binding(name: str, kind: str, role: str) -> Json:
    """Return a RoleBinding of nobody's."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
    }
