"""One sandbox for all tests that ask for it; listed in `pytest_plugins`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest_asyncio

from sandbox.cluster import Sandbox

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox() -> AsyncIterator[Sandbox]:
    """A running sandbox, shared by all tests: each works in a namespace of its own."""
    async with Sandbox.start() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def namespace(sandbox: Sandbox) -> AsyncIterator[str]:
    """A namespace for one test, deleted with everything in it afterwards."""
    async with sandbox.namespace() as name:
        yield name
