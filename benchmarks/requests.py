"""The requests of one recovery to the Kubernetes API server, counted in its audit log.

    python -m benchmarks.requests

In a new cluster, with the operator installed by its manifests. A row is a recovery. Targets are checked every hour, so
only the check after each recovery is counted. The lease of the two replicas and the watches of the whole cluster are
left out: they go on without any recovery.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from redis.asyncio import Redis

from sandbox.api import Api, Json
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.processes import until

USER = "system:serviceaccount:queue-recovery:queue-recovery"
_SHORT, _LONG = 5.0, 30.0
"""Seconds for which a recovery has to wait."""

_GROUP = "queuerecovery.dev"


def asked(audit: Iterable[Json]) -> Counter[str]:
    """Count the operator's requests by kind, such as `get secrets`.

    A watch counts when it begins, all others when they end.
    """
    return Counter(
        kind_of(event)
        for event in audit
        if event["user"]["username"] == USER
        and event["stage"] == ("ResponseStarted" if event["verb"] == "watch" else "ResponseComplete")
    )


def kind_of(event: Json) -> str:
    """Return verb, resource and subresource of an audit event."""
    about = event.get("objectRef", {})
    return f"{event['verb']} {'/'.join(filter(None, (about.get('resource'), about.get('subresource'))))}"


def for_recoveries(audit: Iterable[Json]) -> list[Json]:
    """Drop the requests without any recovery: the lease, and the watches of the whole cluster."""
    resources = ("queuerecoveries", "queuetargets")
    return [
        event
        for event in audit
        if (about := event.get("objectRef", {})).get("resource") != "leases"
        and not (about.get("resource") in resources and "namespace" not in about)
    ]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A recovery to be counted."""

    title: str
    workers: int = 1
    jobs: int = 3
    obstacle: "Callable[[Bench], Awaitable[Callable[[], Awaitable[None]]]] | None" = None
    """Blocks the recovery, and returns a function that ends this."""
    seconds: float = 0
    earlier: int = 0
    """The number of recoveries of the same namespace that have ended before."""


class Bench:
    """A namespace with a target and its Deployments."""

    def __init__(self, sandbox: Sandbox, namespace: str, broker: Broker, redis: Redis, api: Api) -> None:
        """Store the parts."""
        self.sandbox, self.namespace, self.broker, self.redis, self._api = sandbox, namespace, broker, redis, api

    async def kubectl(self, *arguments: str, input: str | None = None) -> None:  # noqa: A002  # as subprocess calls it
        """Run kubectl in the namespace."""
        await self.sandbox.kubectl("--namespace", self.namespace, *arguments, input=input)

    async def apply(self, *objects: Json) -> None:
        """Apply objects."""
        await self.kubectl("apply", "-f", "-", input="\n---\n".join(map(json.dumps, objects)))

    async def prepare(self, workers: int) -> None:
        """Create Secret, Deployments and target, and wait until nothing changes any more."""
        names = [f"worker-{number}" for number in range(workers)]
        await self.kubectl("apply", "-k", "manifests/tenant")
        await self.write_secret()
        await self.apply(*map(_deployment, names))
        for name in names:
            await self.kubectl("rollout", "status", f"deployment/{name}", "--timeout=60s")
        queue = {"name": "work", "workers": [{"name": name} for name in names], "message": {"task": "work.run"}}
        spec = {"broker": {"urlSecretRef": {"name": "redis", "key": "url"}}, "queues": [queue]}
        await self.apply(_custom("QueueTarget", "team", spec))
        await self.kubectl("wait", "qt/team", "--for=condition=Ready", "--timeout=30s")

    async def write_secret(self) -> None:
        """Write the Secret with the broker's URL."""
        metadata = {"name": "redis"}
        await self.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"url": self.broker.url}}
        )

    async def recover(self, case: Case) -> Counter[str]:
        """Run a recovery, and return its requests."""
        clear = await case.obstacle(self) if case.obstacle else None
        before = len(self.sandbox.audit())
        jobs = [{"task": "work.run", "args": "[]"}] * case.jobs
        await self.apply(
            _custom("QueueRecovery", "stuck", {"targetRef": {"name": "team"}, "queue": "work", "jobs": jobs})
        )
        if clear is not None:
            await asyncio.sleep(case.seconds)
            await clear()
        await until(lambda: self._surveyed_after_the_end(before), "the recovery to succeed", seconds=90)
        return asked(for_recoveries(self.sandbox.audit()[before:]))

    async def uid(self, name: str) -> str:
        """Return a recovery's UID."""
        path = f"/apis/{_GROUP}/v1alpha1/namespaces/{self.namespace}/queuerecoveries/{name}"
        return str((await self._api.get(path))["metadata"]["uid"])

    async def _surveyed_after_the_end(self, before: int) -> bool:
        path = f"/apis/{_GROUP}/v1alpha1/namespaces/{self.namespace}/queuerecoveries/stuck"
        status = (await self._api.get(path)).get("status", {})
        if status.get("phase") == "Failed":
            raise RuntimeError(status["message"])
        if status.get("phase") != "Succeeded":
            return False
        kinds = [kind_of(event) for event in self.sandbox.audit()[before:]]
        return "patch queuetargets/status" in kinds[_last(kinds, "patch queuerecoveries/status") :]


async def deployment_held(bench: Bench) -> Callable[[], Awaitable[None]]:
    """Let another recovery hold the Deployment. It has to exist, or it would be taken over."""
    await bench.apply(
        _custom("QueueRecovery", "another", {"targetRef": {"name": "nobody"}, "queue": "work", "jobs": []})
    )
    await bench.kubectl("wait", "qr/another", "--for=jsonpath={.status.phase}=Pending", "--timeout=30s")
    note = {"held-by": "another", "held-by-uid": await bench.uid("another"), "scale-back-to": "1"}
    await bench.kubectl("label", "deployment/worker-0", *(f"{_GROUP}/{key}={value}" for key, value in note.items()))
    return lambda: bench.kubectl("label", "deployment/worker-0", *(f"{_GROUP}/{key}-" for key in note))


async def queue_held(bench: Bench) -> Callable[[], Awaitable[None]]:
    """Let another recovery hold the queue."""
    key = f"{_GROUP}:lock:work"
    await bench.redis.set(key, "another")

    async def clear() -> None:
        await bench.redis.delete(key)

    return clear


async def broker_down(bench: Bench) -> Callable[[], Awaitable[None]]:
    """Stop the broker."""
    await bench.broker.stop()
    return bench.broker.restart


async def target_missing(bench: Bench) -> Callable[[], Awaitable[None]]:
    """Delete the target."""
    await bench.kubectl("delete", "qt", "team")
    return lambda: bench.prepare(1)


WAITS = {
    "a Deployment's lock": deployment_held,
    "a queue's lock": queue_held,
    "the broker": broker_down,
    "a target": target_missing,
}

CASES = [
    Case(title="1 Deployment, 3 jobs"),
    Case(title="the next one of the same namespace", earlier=1),
    Case(title="1 Deployment, 1,000 jobs", jobs=1000),
    Case(title="5 Deployments, 3 jobs", workers=5),
    *(
        Case(title=f"waits {seconds:.0f} s for {what}", obstacle=obstacle, seconds=seconds)
        for what, obstacle in WAITS.items()
        for seconds in (_SHORT, _LONG)
    ),
]


async def measure(cases: Sequence[Case]) -> list[Counter[str]]:
    """Return the requests of each case."""
    counts = []
    async with Sandbox.start() as sandbox, Api(sandbox.control_plane.admin) as api:
        await sandbox.kubectl("apply", "-k", "manifests/")
        rare = [f"QUEUE_RECOVERY_{name}_SECONDS=3600" for name in ("TARGET_REFRESH", "RETENTION_INTERVAL")]
        await sandbox.kubectl("set", "env", "-n", "queue-recovery", "deployment/queue-recovery", *rare)
        await sandbox.kubectl("rollout", "status", "-n", "queue-recovery", "deployment/queue-recovery")
        for case in cases:
            async with AsyncExitStack() as stack:
                broker = await sandbox.start_broker()
                redis = await stack.enter_async_context(Redis.from_url(broker.url))
                namespace = await stack.enter_async_context(sandbox.namespace("bench"))
                bench = Bench(sandbox, namespace, broker, redis, api)
                await bench.prepare(case.workers)
                for _ in range(case.earlier):
                    await bench.recover(case)
                    await bench.kubectl("delete", "qr", "stuck")
                counts.append(await bench.recover(case))
                await bench.kubectl("delete", "qr,qt", "--all")
                await broker.stop()
    return counts


def _deployment(name: str) -> Json:
    labels = {"app": name}
    container = {
        "name": "worker",
        "image": "queue-recovery:bench",
        "command": ["python", "-c", "import signal; signal.pause()"],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }


def _custom(kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": f"{_GROUP}/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _last(kinds: Sequence[str], kind: str) -> int:
    return max((index for index, one in enumerate(kinds) if one == kind), default=0)


def report() -> str:
    """Measure, and return a section in Markdown with a row for each recovery."""
    counts = asyncio.run(measure(CASES))
    verbs = sorted({kind.split()[0] for count in counts for kind in count})
    lines = [f"| | {' | '.join(verbs)} | all |", "|---|" + "---:|" * (len(verbs) + 1)]
    for case, count in zip(CASES, counts, strict=True):
        by_verb = [sum(number for kind, number in count.items() if kind.split()[0] == verb) for verb in verbs]
        lines.append(f"| {' | '.join([case.title, *map(str, by_verb), str(count.total())])} |")
    aim = (
        "Aim: a constant, at most 45, and at most 30 for the next one of a namespace; a small number for each further "
        "Deployment; none that grows with jobs or time spent waiting."
    )
    return f"### Kubernetes requests of one recovery\n\n{aim}\n\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(report())
