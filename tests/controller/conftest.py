"""Replicas of the operator in the shared cluster."""

from collections.abc import AsyncIterator

import pytest_asyncio

from sandbox.api import Api
from sandbox.cluster import Sandbox
from sandbox.processes import Scope
from tests.controller.replicas import Replicas


@pytest_asyncio.fixture(loop_scope="session")
async def replicas(sandbox: Sandbox, namespace: str) -> AsyncIterator[Replicas]:
    """Replicas of the operator in one test's namespace, and the CRDs."""
    await sandbox.kubectl("apply", "-k", "crds/")
    async with Api(sandbox.control_plane.admin) as api, Scope.open() as scope:
        yield Replicas(sandbox, namespace, api, scope)
    for name in (await sandbox.kubectl("-n", namespace, "get", "qr", "-o", "name")).split():
        # Nobody is left who would take its finalizer away.
        await sandbox.kubectl(
            "-n", namespace, "patch", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}'
        )
    await sandbox.kubectl("-n", namespace, "delete", "qr", "--all", "--wait=false")
