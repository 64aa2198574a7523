"""Watch many namespaces: how long their Deployments have no pods, and the progress of their recoveries."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sandbox.api import Api

_GROUP = "/apis/queuerecovery.dev/v1alpha1"
_APPS = "/apis/apps/v1"
_PATIENCE = 900.0


@dataclass
class Watchman:
    """How long the Deployments of a crowd have no pods and no replicas."""

    deployments: dict[str, int] = field(default_factory=dict)
    """Replicas in the spec, by namespace."""
    pods: dict[str, set[str]] = field(default_factory=dict)
    """Names of the pods that exist, by namespace."""
    available: set[str] = field(default_factory=set)
    """Namespaces whose Deployment is rolled out."""
    phases: dict[str, str] = field(default_factory=dict)
    """Of the recoveries, by namespace; if there are several, of the one that changed last."""
    ended: set[tuple[str, str]] = field(default_factory=set)
    """Namespaces and names of the recoveries that have ended."""
    usable: set[str] = field(default_factory=set)
    """Namespaces whose target is Ready."""
    empty_since: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0
    """The longest time in seconds that any Deployment was at 0 beyond its pods' end."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @asynccontextmanager
    async def watching(self, api: Api) -> AsyncIterator[None]:
        """Watch while the block runs."""
        followed = (self._deployments(api), self._pods(api), self._recoveries(api), self._targets(api))
        tasks = [asyncio.ensure_future(each) for each in followed]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _deployments(self, api: Api) -> None:
        async for kind, item in api.follow(f"{_APPS}/deployments"):
            where = item["metadata"]["namespace"]
            if kind == "DELETED":
                self.deployments.pop(where, None)
                continue
            self.deployments[where] = item["spec"]["replicas"]
            status = item.get("status", {})
            seen = status.get("observedGeneration") == item["metadata"]["generation"]
            (self.available.add if seen and status.get("availableReplicas") else self.available.discard)(where)
            self._note(where)

    async def _pods(self, api: Api) -> None:
        async for kind, item in api.follow("/api/v1/pods"):
            names = self.pods.setdefault(item["metadata"]["namespace"], set())
            (names.discard if kind == "DELETED" else names.add)(item["metadata"]["name"])
            self._note(item["metadata"]["namespace"])

    async def _recoveries(self, api: Api) -> None:
        async for kind, item in api.follow(f"{_GROUP}/queuerecoveries"):
            where, status = item["metadata"]["namespace"], item.get("status", {})
            self.phases[where] = "" if kind == "DELETED" else status.get("phase", "")
            if "completionTime" in status:
                self.ended.add((where, item["metadata"]["name"]))
            self._tell()

    async def _targets(self, api: Api) -> None:
        async for _, item in api.follow(f"{_GROUP}/queuetargets"):
            conditions = item.get("status", {}).get("conditions", [])
            is_ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            (self.usable.add if is_ready else self.usable.discard)(item["metadata"]["namespace"])
            self._tell()

    def _note(self, where: str) -> None:
        now = time.monotonic()
        if self.deployments.get(where) == 0 and not self.pods.get(where):
            self.empty_since.setdefault(where, now)
        else:
            since = self.empty_since.pop(where, None)
            if since is not None:
                self.longest = max(self.longest, now - since)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def restart(self) -> None:
        """Reset the longest time."""
        self.longest = 0.0

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until a condition of the watched objects is true."""
        async with asyncio.timeout(_PATIENCE):
            while not holds():
                changed = self._changed
                await changed.wait()
