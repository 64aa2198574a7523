"""A namespace with Deployments for each test that works on a real API server."""

from collections.abc import AsyncIterator

import pytest

from sandbox.api import Api
from sandbox.cluster import Sandbox
from tests.workers.fleet import Fleet, connected, workers_of


@pytest.fixture
async def fleet(sandbox: Sandbox, namespace: str) -> AsyncIterator[Fleet]:
    """An empty namespace, and an operator that may do anything in it."""
    async with connected(sandbox.kubeconfig) as client, Api(sandbox.control_plane.admin) as api:
        yield Fleet(sandbox=sandbox, namespace=namespace, api=api, workers=workers_of(client, namespace))
