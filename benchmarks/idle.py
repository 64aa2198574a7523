"""The cost of a thousand finished recoveries at the operator's start and when it is idle, against none.

    python -m benchmarks.idle [--recoveries 1000] [--idle-seconds 10] [--rounds 3]

On a real API server. The operator is a separate process that watches one namespace, with the recoveries or empty.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.benchmark import Benchmark, Way
from benchmarks.memory import memory
from sandbox.api import Api, Json
from sandbox.cluster import Sandbox
from sandbox.processes import LOOPBACK, ROOT, Process, free_port, until

_PROGRAM = Path(sys.executable).with_name("queue-recovery")
_JOBS = 20
_AT_ONCE = 20
_STEP = 0.5
"""Seconds over which its processor time is measured until it is idle."""

_WORKERS_LEAVE = 6.0
"""Seconds until kopf has ended its worker of each resource, five seconds after the last event."""


def recovery(number: int) -> Json:
    """Return a recovery as a user creates it."""
    return {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueRecovery",
        "metadata": {"name": f"finished-{number}"},
        "spec": {
            "targetRef": {"name": "media"},
            "queue": "tts",
            "jobs": [{"id": f"{number:012x}{job:012x}"} for job in range(_JOBS)],
        },
    }


def finished() -> Json:
    """Return the status of one that has succeeded."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    kinds = ("Succeeded", "Ready", "Reconciling", "Stalled", "Drained", "Purged", "Restarted", "Reenqueued")
    return {
        "observedGeneration": 1,
        "phase": "Succeeded",
        "message": f"1000 messages quarantined; {_JOBS} of {_JOBS} jobs enqueued",
        "plan": {"time": now, "ready": 1000, "unacked": 0, "purge": 1000, "leave": 0, "enqueue": _JOBS, "skip": 0},
        "drainStartTime": now,
        "completionTime": now,
        "workers": [{"name": "tts-worker", "uid": "0" * 36, "replicas": 3, "generation": 7, "drainedGeneration": 8}],
        "messages": {"found": 1000, "quarantined": 1000, "left": 0, "undecodable": 0},
        "quarantine": {"name": "q" * 60, "messages": 1000, "expirationTime": now},
        "jobs": {"total": _JOBS, "enqueued": _JOBS, "skipped": 0, "progress": f"{_JOBS}/{_JOBS}"},
        "conditions": [
            {
                "type": kind,
                "status": "False" if kind in {"Reconciling", "Stalled"} else "True",
                "reason": "Completed",
                "message": f"{_JOBS} of {_JOBS} jobs enqueued",
                "lastTransitionTime": now,
                "observedGeneration": 1,
            }
            for kind in kinds
        ],
    }


async def create(api: Api, namespace: str, recoveries: Iterable[Json], status: Json) -> None:
    """Create recoveries, all with the same status."""
    path = f"/apis/queuerecovery.dev/v1alpha1/namespaces/{namespace}/queuerecoveries"
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(recovery: Json) -> None:
        async with places:
            await api.create(path, recovery)
            await api.patch(f"{path}/{recovery['metadata']['name']}/status", {"status": status})

    await asyncio.gather(*map(one, recoveries))


async def observe(
    sandbox: Sandbox,
    namespace: str,
    way: Way,
    idle_seconds: int,
    connections: Callable[[], Awaitable[int]] | None = None,
) -> None:
    """Measure an operator from its start until it has been idle; optionally count its connections."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "KUBECONFIG": str(sandbox.kubeconfig),
        "QUEUE_RECOVERY_NAMESPACES": namespace,
        "QUEUE_RECOVERY_ALLOW_LOCAL_ADDRESSES": "true",
        "QUEUE_RECOVERY_HTTP_HOST": LOOPBACK,
        "QUEUE_RECOVERY_HTTP_PORT": str(port),
        "QUEUE_RECOVERY_LEASE_SECONDS": "0",
    }
    began = time.monotonic()
    log = sandbox.folder / "operator.log"
    operator = await Process.start("operator", [_PROGRAM], log=log, environment=environment, folder=ROOT)
    try:

        async def ready() -> bool:
            try:
                reader, writer = await asyncio.open_connection(LOOPBACK, port)
            except OSError:
                return False
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            answer = await reader.read()
            writer.close()
            return b"200 OK" in answer

        await until(ready, "the operator to be ready", of=operator)
        took = time.monotonic() - began
        used = -1.0
        while processor_seconds(operator.pid) - used > _STEP / 50:
            used = processor_seconds(operator.pid)
            await asyncio.sleep(_STEP)
        await asyncio.sleep(_WORKERS_LEAVE)
        settled = processor_seconds(operator.pid)
        await asyncio.sleep(idle_seconds)
        idle = (processor_seconds(operator.pid) - settled) / idle_seconds
        way.note(ready=took, processor=used, idle=idle * 100, memory=memory("VmRSS", operator.pid))
        if connections is not None:
            way.note(connections=await connections())
    finally:
        await operator.stop()


def processor_seconds(pid: int) -> float:
    """Return the processor time that a process has used (`proc(5)`: fields 14 and 15 of `stat`)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(recoveries: int, idle_seconds: int, rounds: int) -> list[Way]:
    """Start an operator with each number of recoveries in each round."""
    none = Way("none", "")
    many = Way(f"{recoveries:,} finished recoveries", none.name)
    async with Sandbox.start() as sandbox:
        await sandbox.kubectl("apply", "-k", "crds/")
        async with sandbox.namespace() as empty, sandbox.namespace() as full, Api(sandbox.control_plane.admin) as api:
            await create(api, full, map(recovery, range(recoveries)), finished())
            for _ in range(rounds):
                await observe(sandbox, empty, none, idle_seconds)
                await observe(sandbox, full, many, idle_seconds)
    return [none, many]


BENCHMARK = Benchmark(
    name="idle",
    title="The operator beside a thousand finished recoveries",
    aim="ready at most 1 s later, no more processor time when idle, at most 20 MB more.",
    columns={
        "ready": "start to ready, s",
        "processor": "processor time until at rest, s",
        "idle": "processor when idle, %",
        "memory": "RSS, MB",
    },
    options={"recoveries": 1000, "idle_seconds": 10, "rounds": 3},
    measure=measure,
)

if __name__ == "__main__":
    BENCHMARK.main()
