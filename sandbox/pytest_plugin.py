"""One sandbox for all tests that use it; listed in `pytest_plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from sandbox.cluster import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """Start a sandbox that all tests share; each works in its own namespace."""
    async with Sandbox.start() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(sandbox: Sandbox) -> AsyncIterator[str]:
    """Create a namespace for one test, and delete it afterwards."""
    async with sandbox.namespace() as name:
        yield name
