"""An upgrade while a recovery runs: the version before, then this one over it, by kustomize and by Helm."""

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from sandbox.helm import find_helm
from sandbox.node import images
from sandbox.node.images import BuiltImage, ImageStore
from sandbox.processes import ROOT
from tests import readme
from tests.node import operator
from tests.node.cluster import Cluster
from tests.node.operator import NAMESPACE
from tests.node.shell import Shell
from tests.node.team import EXAMPLE, Team, job_ids, worker

pytestmark = pytest.mark.own_node

PREVIOUS = "9cf773e"
"""The commit that stands for the released version, until one is."""

JOBS = job_ids(2)

Install = Callable[[Cluster], Awaitable[None]]


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BuiltImage]:
    """That commit, and its image."""
    folder = tmp_path_factory.mktemp("previous")
    archive = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    with ImageStore.open() as store:
        return folder, images.operator_image(store, tag="previous", source=folder)


async def _install_previous(cluster: Cluster, folder: Path, image: BuiltImage) -> None:
    assert cluster.node is not None
    await cluster.node.import_images([image])
    objects = list(yaml.safe_load_all(await cluster.kubectl("kustomize", str(folder / "manifests"))))
    for body in objects:
        if body["kind"] == "Deployment":
            [container] = body["spec"]["template"]["spec"]["containers"]
            container["image"] = image.name
            # Without a user's name that version does not start.
            container["env"].append({"name": "LOGNAME", "value": "queue-recovery"})
    await cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))
    await operator.rolled_out(cluster)


@pytest_asyncio.fixture(loop_scope="session")
async def shell(cluster: Cluster, tmp_path: Path) -> Shell:
    """A shell with Helm."""
    return Shell(cluster, tmp_path, helm=await asyncio.to_thread(find_helm))


async def _upgrade(cluster: Cluster, team: Team, previous: tuple[Path, BuiltImage], install: Install) -> None:
    """Install the previous version, begin a recovery, install this version, and see the recovery end well."""
    await _install_previous(cluster, *previous)
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "25"]}}}}
    folder, _ = previous
    # That version refuses a target with fields that came later.
    await team.set_up(workers=[worker(container=hook)], manifests=folder / EXAMPLE.relative_to(ROOT))
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await team.recover("upgraded", JOBS)
    await team.recover("waiting", JOBS, suspend=True)
    await team.says("upgraded", "waiting for the ")

    await install(cluster)

    await team.reached("upgraded", "Succeeded", seconds=180)
    await team.done(*JOBS)
    await team.ran_once(*JOBS)
    assert await team.replicas("tts-worker") == 1


async def test_a_recovery_that_the_previous_version_has_begun_ends_well_under_this_one(
    cluster: Cluster, team: Team, previous: tuple[Path, BuiltImage]
) -> None:
    await _upgrade(cluster, team, previous, operator.install)
    await team.kubectl("delete", "queuerecovery", "upgraded", "waiting", "--timeout=30s")


async def _run_the_pages(shell: Shell, *parts: str) -> None:
    """Run the commands of the page on Helm that have these parts."""
    commands = readme.commands("Helm", "docs/install.md")
    for part in parts:
        [command] = [each for each in commands if part in each]
        await shell.succeeds(command)


async def _take_over(shell: Shell, cluster: Cluster) -> None:
    await _run_the_pages(shell, "--field-manager=helm", "--take-ownership")
    await operator.rolled_out(cluster)


async def test_helm_takes_over_from_kustomize_while_a_recovery_runs_and_leaves_recoveries_when_it_is_uninstalled(
    cluster: Cluster, team: Team, shell: Shell, previous: tuple[Path, BuiltImage]
) -> None:
    await _upgrade(cluster, team, previous, partial(_take_over, shell))

    expected = yaml.safe_load_all(await cluster.kubectl("kustomize", "manifests/operator"))
    [deployment] = [one for one in expected if one["kind"] == "Deployment"]
    [container] = (await cluster.read("deployment", "queue-recovery", "-n", NAMESPACE))["spec"]["template"]["spec"][
        "containers"
    ]
    names = [each["name"] for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert [each["name"] for each in container["env"]] == names
    definition = await cluster.read("crd", "queuerecoveries.queuerecovery.dev")
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert "notAfter" in spec["properties"]  # a field that the previous version did not have

    await shell.succeeds(f"helm uninstall queue-recovery -n {NAMESPACE} --wait")
    left = await team.kubectl("get", "queuerecoveries", "-o", "name")
    assert len(left.split()) == 2

    await _run_the_pages(shell, "--create-namespace", "kubectl label")
    await operator.rolled_out(cluster)
    await team.kubectl("delete", "queuerecovery", "upgraded", "waiting", "--timeout=30s")
    await shell.succeeds(f"helm uninstall queue-recovery -n {NAMESPACE} --wait")
    await operator.install(cluster)
