"""A real API server on which nothing runs, so that nobody but the test changes anything."""

import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from sandbox import control_plane
from sandbox.build import find_programs
from sandbox.control_plane import ControlPlane
from sandbox.processes import Scope, until

ROOT = Path(__file__).parents[2]
_numbers = count()


class Refused(Exception):
    """kubectl ended with an error; the text is what it wrote."""


@dataclass(frozen=True)
class Cluster:
    """A control plane without a node, and kubectl as its administrator."""

    plane: ControlPlane
    program: Path
    kubeconfig: Path

    def kubectl(self, *arguments: str, given: object = None) -> str:
        """Run kubectl in the repository's root and return what it wrote; `given` is its standard input, as YAML."""
        done = self._run(arguments, given)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return done.stdout

    def answer(self, *arguments: str) -> str:
        """Run kubectl with a question that it answers with its exit code too, and return the answer."""
        return self._run(arguments, None).stdout.strip()

    def read(self, *arguments: str) -> Any:  # noqa: ANN401 -- any Kubernetes object
        """Return what `kubectl get` finds."""
        return yaml.safe_load(self.kubectl("get", *arguments, "--output=yaml"))

    def refusal(self, *arguments: str, given: object = None) -> str:
        """Run kubectl, expect it to fail, and return what it says."""
        with pytest.raises(Refused) as refused:
            self.kubectl(*arguments, given=given)
        return str(refused.value)

    def _run(self, arguments: Sequence[str], given: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.program, f"--kubeconfig={self.kubeconfig}", *arguments],
            input=None if given is None else yaml.safe_dump(given),
            capture_output=True,
            cwd=ROOT,
            text=True,
            timeout=60,
            check=False,
        )


@asynccontextmanager
async def open_cluster() -> AsyncIterator[Cluster]:
    """Start a control plane without anything of `manifests/`."""
    programs = find_programs()
    async with Scope.open() as scope:
        plane = await control_plane.start(scope, programs)
        yield Cluster(plane, programs.kubectl, plane.admin.write_kubeconfig(scope.folder / "kubeconfig"))


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    """A control plane with everything of `manifests/` applied to it.

    It ends with the tests of this folder: also an idle one takes memory, and a little of the processor.
    """
    async with open_cluster() as made:
        made.kubectl("apply", "-k", "manifests")
        made.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")

        async def known() -> bool:
            return "queuetargets" in made.kubectl("api-resources", "--api-group=queuerecovery.dev")

        async def aggregated() -> bool:
            return all(
                "queuerecovery.dev" in made.kubectl("describe", "clusterrole", role) for role in ("view", "admin")
            )

        await until(known, "the API server to know both resources", of=made.plane.apiserver)
        await until(aggregated, "the standard roles to have the new permissions", of=made.plane.controller_manager)
        yield made


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"it-{next(_numbers)}"


@pytest.fixture
def namespace(cluster: Cluster, name: str) -> str:
    """A namespace for one test."""
    cluster.kubectl("create", "namespace", name)
    return name
