"""A cluster as its user reaches it: by kubectl, and by nothing else."""

import json
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sandbox.kubectl import KubectlError, run_kubectl
from sandbox.node.cluster import NodeCluster
from sandbox.processes import until

T = TypeVar("T")

Object = dict[str, Any]

MONGODB_DATA = "/data/db"
"""Where a MongoDB server keeps its data in its pod: a volume that its container's restart leaves."""

_EVERY = 0.5
"""Seconds from one answer of kubectl to the next question: each starts a process, and sometimes Python in a pod."""


@dataclass(frozen=True)
class Servers:
    """The images of Redis and of a MongoDB server, and how each is started."""

    redis: str
    mongodb: str
    redis_command: Sequence[str] = ("redis-server", "--protected-mode", "no", "--save", "")
    mongodb_command: Sequence[str] = ("mongod", "--bind_ip_all", "--dbpath", MONGODB_DATA)


@dataclass(frozen=True)
class Cluster:
    """A cluster, and the images that it can run."""

    command: Sequence[str]
    """The beginning of a kubectl command."""
    servers: Servers
    image: str | None = None
    """The operator's, where it is not the one that the manifests name."""
    node: NodeCluster | None = None
    """The node, where it is this run's own."""

    async def kubectl(self, *arguments: str, given: str | None = None, seconds: float = 60) -> str:
        """Run kubectl in the checkout, and return what it wrote.

        Args:
            arguments: its command line.
            given: its standard input, as `apply -f -` reads it.
            seconds: how long it may take.

        Raises:
            KubectlError: it failed.
            TimeoutError: it took longer.
        """
        return await run_kubectl(self.command, arguments, given=given, seconds=seconds, env=os.environ)

    async def read(self, *arguments: str) -> Object:
        """Return what `kubectl get` of these arguments shows, as an object."""
        found: Object = json.loads(await self.kubectl("get", *arguments, "-o", "json"))
        return found

    async def apply(self, *objects: Object, namespace: str = "default") -> None:
        """Apply these objects."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        await self.kubectl("apply", "-n", namespace, "-f", "-", given=json.dumps(listed))

    async def until(self, condition: Callable[[], Awaitable[T | None]], what: str, *, seconds: float = 60) -> T:
        """Wait until a condition returns something true, and return that; a kubectl that fails counts as not yet."""

        async def holds() -> T | None:
            try:
                return await condition()
            except KubectlError:
                return None

        return await until(holds, what, seconds=seconds, every=_EVERY)
