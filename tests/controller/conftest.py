"""Replicas of the operator in the shared cluster."""

from collections.abc import AsyncIterator

import pytest_asyncio

from sandbox.cluster import Sandbox
from tests.controller.replicas import Replicas


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def definitions(sandbox: Sandbox) -> None:
    """Make the shared cluster serve the CRDs."""
    await sandbox.kubectl("apply", "-k", "crds/")
    await sandbox.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")


@pytest_asyncio.fixture(loop_scope="session")
async def replicas(sandbox: Sandbox, definitions: None) -> AsyncIterator[Replicas]:
    """Replicas of the operator in one test's namespace, and the CRDs."""
    del definitions
    async with Replicas.open(sandbox) as made:
        yield made
