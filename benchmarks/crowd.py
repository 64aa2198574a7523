"""Many recoveries at once, each in its own namespace: how long they take, and how long workers are stopped.

    python -m benchmarks.crowd [--recoveries 200] [--rounds 1]

On a real API server with real controllers; pods are local processes. The peer scales all the Deployments to 0 and, each
once its pod has ended, back: the same crowd without any recovery. The time of a Deployment at 0 beyond its
pods' end is from the deletion of its last pod until its replicas are back in its spec.
"""

import asyncio
import base64
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from benchmarks.benchmark import Benchmark, Way
from benchmarks.idle import processor_seconds
from benchmarks.memory import memory
from benchmarks.watchman import Watchman
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
"""Called with a namespace and its number."""


class Crowd:
    """Namespaces, each with a Deployment, a target, and a queue in a database of one broker."""

    def __init__(self, api: Api, broker: Broker, names: list[str]) -> None:
        """Store the parts; nothing is created yet."""
        self._api, self._broker, self.names = api, broker, names

    async def prepare(self) -> None:
        """Create all namespaces with their objects."""
        await self._each(self._one)

    async def scale(self, name: str, replicas: int) -> None:
        """Set the replicas of a namespace's Deployment."""
        path = f"{_APPS}/namespaces/{name}/deployments/worker"
        await self._api.patch(path, {"spec": {"replicas": replicas}}, _SCALE)

    async def recover(self) -> None:
        """Create a recovery in each namespace."""

        async def one(name: str, _: int) -> None:
            spec = {"targetRef": {"name": "team"}, "queue": "work", "jobs": [{"task": "work.run", "args": "[]"}] * 3}
            await self._api.create(f"{_GROUP}/namespaces/{name}/queuerecoveries", custom("QueueRecovery", spec))

        await self._each(one)

    async def clear(self) -> None:
        """Delete the recoveries."""

        async def one(name: str, _: int) -> None:
            await self._api.delete(f"{_GROUP}/namespaces/{name}/queuerecoveries/team", {})

        await self._each(one)

    async def _one(self, name: str, number: int) -> None:
        queue = {"name": "work", "workers": [{"name": "worker"}], "message": {"task": "work.run"}}
        target = {"broker": {"urlSecretRef": {"name": "redis", "key": "url"}}, "queues": [queue]}
        await self.create_secret(name, number)
        await self._api.create(f"{_APPS}/namespaces/{name}/deployments", deployment("worker"))
        await self._api.create(f"{_GROUP}/namespaces/{name}/queuetargets", custom("QueueTarget", target))

    async def create_secret(self, name: str, number: int) -> None:
        """Create the Secret of a namespace: the URL of the database of that number."""
        url = base64.b64encode(f"redis://{LOOPBACK}:{self._broker.port}/{number}".encode()).decode()
        secret = {"metadata": {"name": "redis"}, "data": {"url": url}}
        await self._api.create(f"/api/v1/namespaces/{name}/secrets", secret)

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
    """Recover all queues at once with a new operator."""
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
    """Run an operator that watches all namespaces, with an administrator's permissions."""
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
    """Run both ways with the same crowd in each round."""
    bare = Way("scale to 0 and back", "")
    way = Way(f"{recoveries} recoveries", bare.name)
    names = [f"crowd-{number}" for number in range(recoveries)]
    watchman = Watchman()
    async with AsyncExitStack() as stack:
        sandbox, api = await stack.enter_async_context(cluster(names))
        broker = await sandbox.start_broker(options=["--databases", str(recoveries)])
        crowd = Crowd(api, broker, names)
        await stack.enter_async_context(watchman.watching(api))
        await crowd.prepare()
        await watchman.until(lambda: watchman.available.issuperset(names))
        for _ in range(rounds):
            await scale_only(crowd, watchman, bare)
            await recover(sandbox, crowd, watchman, way)
    return [bare, way]


@asynccontextmanager
async def cluster(names: list[str]) -> AsyncIterator[tuple[Sandbox, Api]]:
    """Start a cluster with the CRDs and these namespaces, ready for pods."""
    async with Sandbox.start() as sandbox, Api(sandbox.control_plane.admin) as api:
        await sandbox.kubectl("apply", "-k", "crds/")
        await sandbox.kubectl("wait", "crd", "--all", "--for=condition=Established")
        for name in names:
            await api.create("/api/v1/namespaces", {"metadata": {"name": name}})

        async def accounts() -> bool:
            found = (await api.get("/api/v1/serviceaccounts"))["items"]
            return {item["metadata"]["namespace"] for item in found}.issuperset(names)

        await until(accounts, "the ServiceAccounts", seconds=_PATIENCE)
        yield sandbox, api


def deployment(name: str) -> Json:
    """Return a Deployment of one pod that does nothing."""
    labels = {"app": name}
    container = {"name": "worker", "image": "queue-recovery:bench", "command": ["sleep", "infinity"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return {"metadata": {"name": name}, "spec": spec}


def custom(kind: str, spec: Json) -> Json:
    """Return one of the operator's resources, named `team`."""
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
