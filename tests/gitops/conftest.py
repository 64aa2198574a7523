"""Real GitOps tools beside the operator and the workers of the end-to-end tests; their fixtures are used here too."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Literal, Protocol

import pytest
import pytest_asyncio

from sandbox.cluster import Sandbox
from sandbox.gitops_tools import ARGOCD, FLUX, find_tool
from sandbox.processes import Process
from tests.e2e.conftest import broker, databases, operator, store, team
from tests.e2e.team import Team
from tests.gitops.autoscaler import start_keda
from tests.gitops.repository import Repository
from tests.gitops.rollouts import start_rollouts
from tests.gitops.tool import Tool

__all__ = ["broker", "databases", "operator", "store", "team"]

ToolName = Literal["argocd", "flux"]


class Start(Protocol):
    """Starts a tool with more options; it ends with the test."""

    async def __call__(self, name: ToolName, *options: str) -> Tool: ...


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository(tmp_path)


@pytest_asyncio.fixture(loop_scope="session")
async def start(team: Team, repository: Repository, tmp_path: Path) -> AsyncIterator[Start]:
    """Start a tool that syncs the repository into the team's namespace."""
    where = [
        f"--kubeconfig={team.sandbox.kubeconfig}",
        f"--folder={repository.current}",
        f"--namespace={team.namespace}",
        "--name=incident",
        "--interval=2s",
        "--prune",
    ]
    async with AsyncExitStack() as stack:

        async def start(name: ToolName, *options: str) -> Tool:
            if name == "argocd":
                settings = tmp_path / "argocd-cm.yaml"
                settings.write_text(await team.sandbox.kubectl("kustomize", "manifests/argocd"))
                options = (f"--settings={settings}", "--self-heal", *options)
            program = find_tool({"argocd": ARGOCD, "flux": FLUX}[name])
            process = await team.sandbox.start_program(f"{name}-{team.namespace}", [program, *where, *options])
            stack.push_async_callback(process.stop)
            return Tool(process, repository)

        yield start


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def keda(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Process:
    """KEDA's operator."""
    return await start_keda(sandbox, tmp_path_factory.mktemp("keda"))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rollouts(sandbox: Sandbox) -> Process:
    """Argo Rollouts' controller."""
    return await start_rollouts(sandbox)
