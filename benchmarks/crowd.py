"""Many recoveries at once, each in a namespace of its own: how long they take, and for how long workers are away.

    python -m benchmarks.crowd [--recoveries 200] [--rounds 1]

On a real API server with real controllers; pods are local processes. The peer scales all the Deployments to 0 and, each
once its pod has ended, back: what the same crowd takes with nothing else done. A Deployment is away beyond its pods'
end from the deletion of its last pod until its replicas are back in its spec.
"""

import asyncio
import base64
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.benchmark import Benchmark, Way
from benchmarks.idle import processor_seconds
from benchmarks.memory import memory
from sandbox.api import Api, Json
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.processes import LOOPBACK, ROOT, Process, free_port, until

_GROUP = "/apis/queuerecovery.dev/v1alpha1"
_APPS = "/apis/apps/v1"
_PROGRAM = Path(sys.executable).with_name("queue-recovery")
_AT_ONCE = 20
_PATIENCE = 900.0
_ENDED = {"Succeeded", "Failed", "Cancelled"}
_SCALE = "application/merge-patch+json"

Act = Callable[[str, int], Awaitable[None]]
"""Does something in a namespace, which is given with its number."""


@dataclass
class Watchman:
    """When the Deployments of a crowd had no pod and no replicas."""

    deployments: dict[str, int] = field(default_factory=dict)
    """Replicas in the spec, by namespace."""
    pods: dict[str, set[str]] = field(default_factory=dict)
    """Names of the pods that exist, by namespace."""
    available: set[str] = field(default_factory=set)
    """Namespaces whose Deployment is rolled out."""
    phases: dict[str, str] = field(default_factory=dict)
    """Of the recoveries, by namespace."""
    usable: set[str] = field(default_factory=set)
    """Namespaces whose target is Ready."""
    empty_since: dict[str, float] = field(default_factory=dict)
    longest: float = 0.0
    """Seconds that any Deployment was at 0 beyond its pods' end."""
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
            phase = "" if kind == "DELETED" else item.get("status", {}).get("phase", "")
            self.phases[item["metadata"]["namespace"]] = phase
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
        """Forget what was longest."""
        self.longest = 0.0

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition of what is watched."""
        async with asyncio.timeout(_PATIENCE):
            while not holds():
                changed = self._changed
                await changed.wait()


class Crowd:
    """Namespaces, each with a Deployment, a target, and a queue in a database of one broker."""

    def __init__(self, api: Api, broker: Broker, names: list[str]) -> None:
        """Take the parts; nothing is created yet."""
        self._api, self._broker, self.names = api, broker, names

    async def prepare(self) -> None:
        """Create all of it."""
        await self._each(self._one)

    async def scale(self, name: str, replicas: int) -> None:
        """Set the replicas of a namespace's Deployment."""
        path = f"{_APPS}/namespaces/{name}/deployments/worker"
        await self._api.patch(path, {"spec": {"replicas": replicas}}, _SCALE)

    async def recover(self) -> None:
        """Create a recovery in each namespace."""

        async def one(name: str, _: int) -> None:
            spec = {"targetRef": {"name": "team"}, "queue": "work", "jobs": [{"task": "work.run", "args": "[]"}] * 3}
            await self._api.create(f"{_GROUP}/namespaces/{name}/queuerecoveries", _custom("QueueRecovery", spec))

        await self._each(one)

    async def clear(self) -> None:
        """Delete the recoveries."""

        async def one(name: str, _: int) -> None:
            await self._api.delete(f"{_GROUP}/namespaces/{name}/queuerecoveries/team", {})

        await self._each(one)

    async def _one(self, name: str, number: int) -> None:
        url = base64.b64encode(f"redis://{LOOPBACK}:{self._broker.port}/{number}".encode()).decode()
        queue = {"name": "work", "workers": [{"name": "worker"}], "message": {"task": "work.run"}}
        target = {"broker": {"urlSecretRef": {"name": "redis", "key": "url"}}, "queues": [queue]}
        secret = {"metadata": {"name": "redis"}, "data": {"url": url}}
        await self._api.create(f"/api/v1/namespaces/{name}/secrets", secret)
        await self._api.create(f"{_APPS}/namespaces/{name}/deployments", _deployment())
        await self._api.create(f"{_GROUP}/namespaces/{name}/queuetargets", _custom("QueueTarget", target))

    async def _each(self, act: Act) -> None:
        places = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str, number: int) -> None:
            async with places:
                await act(name, number)

        await asyncio.gather(*(one(name, number) for number, name in enumerate(self.names)))


async def scale_only(crowd: Crowd, watchman: Watchman, way: Way) -> None:
    """Scale all Deployments to 0 and each, once its pod has ended, back."""
    watchman.restart()
    began = time.monotonic()

    async def one(name: str) -> None:
        await crowd.scale(name, 0)
        await watchman.until(lambda: not watchman.pods.get(name))
        await crowd.scale(name, 1)

    await asyncio.gather(*map(one, crowd.names))
    await watchman.until(lambda: watchman.available.issuperset(crowd.names))
    way.note(all=time.monotonic() - began, away=watchman.longest)


async def recover(sandbox: Sandbox, crowd: Crowd, watchman: Watchman, way: Way) -> None:
    """Recover all queues at once with an operator of its own."""
    async with operator(sandbox) as process:
        await watchman.until(lambda: watchman.usable.issuperset(crowd.names))
        watchman.restart()
        used, began = processor_seconds(process.pid), time.monotonic()
        await crowd.recover()
        await watchman.until(lambda: all(watchman.phases.get(name) in _ENDED for name in crowd.names))
        way.note(
            all=time.monotonic() - began,
            away=watchman.longest,
            processor=processor_seconds(process.pid) - used,
            memory=memory("VmHWM", process.pid),
        )
    bad = {name: phase for name, phase in watchman.phases.items() if phase != "Succeeded"}
    if bad:
        raise RuntimeError(f"not all have succeeded: {bad}")
    await crowd.clear()


@asynccontextmanager
async def operator(sandbox: Sandbox) -> AsyncIterator[Process]:
    """Run an operator that watches all namespaces, with an administrator's rights."""
    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(sandbox.kubeconfig),
        "QUEUE_RECOVERY_HTTP_HOST": LOOPBACK,
        "QUEUE_RECOVERY_HTTP_PORT": str(free_port()),
        "QUEUE_RECOVERY_LEASE_SECONDS": "0",
        "QUEUE_RECOVERY_ALLOW_LOCAL_ADDRESSES": "true",
    }
    log = sandbox.folder / "operator.log"
    process = await Process.start("operator", [_PROGRAM], log=log, environment=environment, folder=ROOT)
    try:
        yield process
    finally:
        await process.stop()


async def measure(recoveries: int, rounds: int) -> list[Way]:
    """Let both ways go through the same crowd in each round."""
    bare = Way("scale to 0 and back", "")
    way = Way(f"{recoveries} recoveries", bare.name)
    names = [f"crowd-{number}" for number in range(recoveries)]
    watchman = Watchman()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(Sandbox.start())
        api = await stack.enter_async_context(Api(sandbox.control_plane.admin))
        await sandbox.kubectl("apply", "-k", "crds/")
        await sandbox.kubectl("wait", "crd", "--all", "--for=condition=Established")
        for name in names:
            await api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        broker = await sandbox.start_broker(options=["--databases", str(recoveries)])
        crowd = Crowd(api, broker, names)
        await stack.enter_async_context(watchman.watching(api))
        await until(lambda: _accounts(api, names), "the ServiceAccounts", seconds=_PATIENCE)
        await crowd.prepare()
        await watchman.until(lambda: watchman.available.issuperset(names))
        for _ in range(rounds):
            await scale_only(crowd, watchman, bare)
            await recover(sandbox, crowd, watchman, way)
    return [bare, way]


async def _accounts(api: Api, names: list[str]) -> bool:
    found = (await api.get("/api/v1/serviceaccounts"))["items"]
    return {item["metadata"]["namespace"] for item in found}.issuperset(names)


def _deployment() -> Json:
    labels = {"app": "worker"}
    container = {"name": "worker", "image": "queue-recovery:bench", "command": ["sleep", "infinity"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": "worker"}, "spec": spec}


def _custom(kind: str, spec: Json) -> Json:
    return {"apiVersion": "queuerecovery.dev/v1alpha1", "kind": kind, "metadata": {"name": "team"}, "spec": spec}


BENCHMARK = Benchmark(
    name="crowd",
    title="Two hundred recoveries in two hundred namespaces at once",
    aim="all succeed within 90 s, and no Deployment is at 0 for more than 10 s beyond its pods' end.",
    columns={
        "all": "until all are through, s",
        "away": "longest at 0 beyond its pods' end, s",
        "processor": "processor time, s",
        "memory": "peak RSS, MB",
    },
    options={"recoveries": 200, "rounds": 1},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
