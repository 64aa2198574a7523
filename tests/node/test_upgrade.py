"""An upgrade while a recovery runs: the version before, then this one over it."""

import asyncio
import subprocess
from pathlib import Path

import pytest
import yaml

from sandbox.node import images
from sandbox.node.images import BuiltImage, ImageStore
from sandbox.processes import ROOT
from tests.node import operator
from tests.node.cluster import Cluster
from tests.node.team import Team, job_ids, worker

pytestmark = pytest.mark.own_node

PREVIOUS = "9cf773e"
"""The commit that stands for the released version, until one is."""

JOBS = job_ids(2)


def _previous(folder: Path) -> BuiltImage:
    """Check that commit out and build its image."""
    archive = subprocess.run(["git", "archive", PREVIOUS], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract", "--directory", folder], input=archive, check=True)
    with ImageStore.open() as store:
        return images.operator_image(store, tag="previous", source=folder)


async def _install_previous(cluster: Cluster, folder: Path, image: str) -> None:
    objects = list(yaml.safe_load_all(await cluster.kubectl("kustomize", str(folder / "manifests"))))
    for body in objects:
        if body["kind"] == "Deployment":
            [container] = body["spec"]["template"]["spec"]["containers"]
            container["image"] = image
            # Without a user's name that version does not start.
            container["env"].append({"name": "LOGNAME", "value": "queue-recovery"})
    await cluster.kubectl("apply", "-f", "-", given=yaml.safe_dump_all(objects))
    await operator.rolled_out(cluster)


async def test_a_recovery_that_the_previous_version_has_begun_ends_well_under_this_one(
    cluster: Cluster, team: Team, tmp_path: Path
) -> None:
    previous = await asyncio.to_thread(_previous, tmp_path)
    assert cluster.node is not None
    await cluster.node.import_images([previous])
    await _install_previous(cluster, tmp_path, previous.name)
    hook = {"lifecycle": {"preStop": {"exec": {"command": ["sleep", "25"]}}}}
    await team.set_up(workers=[worker(container=hook)])
    await team.poison(*JOBS)
    await team.failed(*JOBS)
    await team.recover("upgraded", JOBS)
    await team.recover("waiting", JOBS, suspend=True)
    await team.says("upgraded", "waiting for the ")

    await operator.install(cluster)

    await team.reached("upgraded", "Succeeded", seconds=180)
    await team.done(*JOBS)
    await team.ran_once(*JOBS)
    assert await team.replicas("tts-worker") == 1
    await team.kubectl("delete", "queuerecovery", "upgraded", "waiting", "--timeout=30s")
