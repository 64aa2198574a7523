"""The cost of thousands of waiting recoveries when the operator is idle, against none.

    python -m benchmarks.waiting [--recoveries 5000] [--idle-seconds 20] [--rounds 1]

On a real API server and a real broker. One namespace has no recovery, one has suspended ones, and in one all wait for
the lock of the same queue, which another recovery holds. All have been planned before the operator starts.
"""

import base64
from datetime import UTC, datetime

from redis.asyncio import Redis

from benchmarks.benchmark import Benchmark, Way
from benchmarks.idle import create, observe
from sandbox.api import Api, Json
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.processes import LOOPBACK

_GROUP = "/apis/queuerecovery.dev/v1alpha1"


def recovery(number: int, *, suspend: bool) -> Json:
    """Return a recovery as a user creates it."""
    return {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueRecovery",
        "metadata": {"name": f"waiting-{number}"},
        "spec": {
            "targetRef": {"name": "team"},
            "queue": "work",
            "jobs": [{"task": "work.run", "args": "[]"}] * 3,
            "suspend": suspend,
        },
    }


def planned() -> Json:
    """Return the status of a planned recovery."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    counts = {"ready": 0, "unacked": 0, "purge": 0, "leave": 0, "enqueue": 3, "skip": 0}
    return {"observedGeneration": 1, "plan": {"time": now, "queues": ["work"], **counts}, "jobs": {"total": 3}}


async def prepare(api: Api, namespace: str, broker: Broker, count: int, *, suspend: bool) -> None:
    """Create a target with its Secret and Deployment, and recoveries of it."""
    url = base64.b64encode(f"redis://{LOOPBACK}:{broker.port}/0".encode()).decode()
    await api.create(f"/api/v1/namespaces/{namespace}/secrets", {"metadata": {"name": "redis"}, "data": {"url": url}})
    queue = {"name": "work", "workers": [{"name": "worker"}], "message": {"task": "work.run"}}
    target = {"broker": {"urlSecretRef": {"name": "redis", "key": "url"}}, "queues": [queue]}
    kind = {"apiVersion": "queuerecovery.dev/v1alpha1", "kind": "QueueTarget", "metadata": {"name": "team"}}
    await api.create(f"{_GROUP}/namespaces/{namespace}/queuetargets", {**kind, "spec": target})
    await create(api, namespace, (recovery(number, suspend=suspend) for number in range(count)), planned())


async def measure(recoveries: int, idle_seconds: int, rounds: int) -> list[Way]:
    """Start an operator with each kind of recoveries in each round."""
    none = Way("none", "")
    suspended = Way(f"{recoveries:,} suspended recoveries", none.name)
    locked = Way(f"{recoveries:,} recoveries that wait for one lock", none.name)
    async with Sandbox.start() as sandbox:
        await sandbox.kubectl("apply", "-k", "crds/")
        await sandbox.kubectl("wait", "crd", "--all", "--for=condition=Established")
        broker = await sandbox.start_broker()
        async with (
            sandbox.namespace() as empty,
            sandbox.namespace() as held,
            sandbox.namespace() as in_line,
            Api(sandbox.control_plane.admin) as api,
            Redis.from_url(broker.url) as redis,
        ):
            await redis.set("queuerecovery.dev:lock:work", "somebody")
            await prepare(api, empty, broker, 0, suspend=True)
            await prepare(api, held, broker, recoveries, suspend=True)
            await prepare(api, in_line, broker, recoveries, suspend=False)

            async def connections() -> int:
                return sum(client["name"] == "queue-recovery" for client in await redis.client_list())

            for _ in range(rounds):
                for namespace, way in ((empty, none), (held, suspended), (in_line, locked)):
                    await observe(sandbox, namespace, way, idle_seconds, connections)
    return [none, suspended, locked]


BENCHMARK = Benchmark(
    name="waiting",
    title="The operator beside five thousand recoveries that wait",
    aim="no more connections to the broker, under 60 MB more, and no more processor time when idle.",
    columns={
        "ready": "start to ready, s",
        "processor": "processor time until at rest, s",
        "idle": "processor when idle, %",
        "memory": "RSS, MB",
        "connections": "connections to the broker",
    },
    options={"recoveries": 5000, "idle_seconds": 20, "rounds": 1},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
