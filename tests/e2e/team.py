"""A team with a queue, its workers and its jobs, as the operator's users are: everything through the API server."""

import asyncio
import json
import signal
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import yaml
from bson import ObjectId
from pymongo.asynchronous.collection import AsyncCollection
from redis.asyncio import Redis

from sandbox.api import Api, ApiError, Json
from sandbox.cluster import Sandbox
from sandbox.processes import ROOT, DeadlineError, until

SLEEPER = ["python", "-c", "import signal; signal.pause()"]
"""A worker that does nothing and ends at once."""

_STUBBORN = """
import os, pathlib, signal
signal.signal(signal.SIGTERM, lambda *_: signal.pause())
pathlib.Path(os.environ["HOME"], "ready").touch()
signal.pause()
"""
"""A worker whose warm shutdown takes all of its grace period."""

IMAGE = "queue-recovery:test"

_NEVER = 600
"""A grace period that no test waits for."""

_STUBBORN_READY: Json = {"exec": {"command": ["sh", "-c", 'test -e "$HOME/ready"']}}
"""Before it is ready, SIGTERM would end it at once."""

CELERY = ["celery", "-A", "tests.e2e.worker_app", "worker", "--queues=work", "--concurrency=2", "--loglevel=WARNING"]


def envelope(task_id: str, queue: str = "work", args: tuple[object, ...] = ("a",), **headers: object) -> bytes:
    """Return a message as kombu writes it to Redis (its `virtual` transport), made by hand."""
    body = b64encode(json.dumps([list(args), {}, {}]).encode()).decode()
    return json.dumps(
        {
            "body": body,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": {"lang": "py", "task": "work.run", "id": task_id, "root_id": task_id, "retries": 3, **headers},
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": queue},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    ).encode()


def worker_deployment(
    name: str = "worker",
    *,
    replicas: int | None = 2,
    command: list[str] | None = None,
    grace: int = 60,
    readiness: Json | None = None,
    image: str = IMAGE,
) -> Json:
    """Return a Deployment of workers; None leaves `replicas` out."""
    container: Json = {
        "name": "worker",
        "image": image,
        "command": command or SLEEPER,
        "env": [
            {"name": "BROKER_URL", "valueFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}},
            {"name": "IMAGE", "value": image},
        ],
    }
    if readiness is not None:
        container["readinessProbe"] = readiness
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            **({} if replicas is None else {"replicas": replicas}),
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": grace},
            },
        },
    }


_PATHS = {
    "Event": "/api/v1/namespaces/{}/events",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ScaledObject": "/apis/keda.sh/v1alpha1/namespaces/{}/scaledobjects",
    "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
    "Rollout": "/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "QueueTarget": "/apis/queuerecovery.dev/v1alpha1/namespaces/{}/queuetargets",
    "QueueRecovery": "/apis/queuerecovery.dev/v1alpha1/namespaces/{}/queuerecoveries",
}
_APPLY = "application/apply-patch+yaml"


@dataclass(kw_only=True)
class Team:
    """One namespace of the cluster, one database of the broker, one collection of the job store."""

    sandbox: Sandbox
    namespace: str
    broker_url: str
    store_url: str
    redis: Redis
    jobs: AsyncCollection[Json]
    api: Api

    async def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002  # as subprocess calls it
        """Run kubectl in the team's namespace."""
        return await self.sandbox.kubectl("--namespace", self.namespace, *arguments, input=input)

    def path(self, kind: str) -> str:
        """Return where the API server keeps the team's objects of a kind."""
        return _PATHS[kind].format(self.namespace)

    async def apply(self, *objects: Mapping[str, Any]) -> None:
        """Apply objects on the server's side, without kubectl, which takes longer than all else."""
        for one in objects:
            path = f"{self.path(one['kind'])}/{one['metadata']['name']}?fieldManager=team&force=true"
            await self.api.patch(path, dict(one), _APPLY)

    async def let_the_operator_in(self) -> None:
        """Bind its permissions to the namespace."""
        for folder in ("tenant", "keda", "rollouts"):
            await self.apply(yaml.safe_load((ROOT / "manifests" / folder / "role_binding.yaml").read_text()))

    async def workers(
        self,
        name: str = "worker",
        *,
        replicas: int = 2,
        command: list[str] | None = None,
        grace: int = 60,
        readiness: Json | None = None,
    ) -> None:
        """Create a Deployment of workers and wait until it is rolled out."""
        await self.apply(worker_deployment(name, replicas=replicas, command=command, grace=grace, readiness=readiness))
        await self.available(name, replicas)

    async def available(self, name: str = "worker", replicas: int = 2) -> None:
        """Wait until a Deployment is rolled out with so many replicas."""

        async def available() -> bool:
            deployment = await self.get("Deployment", name)
            status = deployment.get("status", {})
            seen = status.get("observedGeneration") == deployment["metadata"]["generation"]
            return bool(seen and status.get("replicas", 0) == status.get("availableReplicas", 0) == replicas)

        await until(available, f"the pods of {name}")

    async def stubborn_workers(self, name: str = "worker", *, replicas: int = 2, grace: int = _NEVER) -> None:
        """Create a Deployment of workers that go on until their grace period is over, or `workers_end`."""
        await self.workers(
            name, replicas=replicas, command=["python", "-c", _STUBBORN], grace=grace, readiness=_STUBBORN_READY
        )

    @asynccontextmanager
    async def workers_end(self) -> AsyncIterator[None]:
        """While the block runs, kill each worker that has been told to end, as if its warm shutdown were over."""
        ending = asyncio.ensure_future(self._end_workers())
        try:
            yield
        finally:
            ending.cancel()
            await asyncio.wait({ending})

    async def _end_workers(self) -> None:
        async for kind, pod in self.api.follow(f"/api/v1/namespaces/{self.namespace}/pods"):
            if kind != "DELETED" and "deletionTimestamp" in pod["metadata"]:
                with suppress(ApiError, ProcessLookupError):  # it has ended
                    name = pod["metadata"]["name"]
                    await self.sandbox.signal_container(self.namespace, name, "worker", signal.SIGKILL)

    async def secrets(self, **urls: str) -> None:
        """Write the Secrets `redis` and `mongo`; `redis=` and `mongo=` replace their URLs."""
        for name, url in {"redis": self.broker_url, "mongo": self.store_url, **urls}.items():
            await self.apply(
                {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {"url": url}}
            )

    async def target(
        self,
        *,
        store: bool = True,
        queue: Json | None = None,
        queues: list[Json] | None = None,
        broker: Json | None = None,
        fields: Json | None = None,
        limits: Json | None = None,
        policy: Json | None = None,
        diagnosis: Json | None = None,
    ) -> None:
        """Create the target `team` with the queue `work`, or with those that are given."""
        spec: Json = {
            "broker": {"urlSecretRef": {"name": "redis", "key": "url"}, **(broker or {})},
            "queues": queues
            or [
                {
                    "name": "work",
                    "workers": [{"name": "worker"}],
                    "message": {"task": "work.run", "args": '["$(id)"]'},
                    **(queue or {}),
                }
            ],
        }
        if limits:
            spec["limits"] = limits
        if policy:
            spec["policy"] = policy
        if diagnosis:
            spec["diagnosis"] = diagnosis
        if store:
            collection: Json = {"database": self.jobs.database.name, "collection": self.jobs.name}
            if fields:
                collection["fields"] = fields
            spec["jobStore"] = {"mongodb": {"urlSecretRef": {"name": "mongo", "key": "url"}, **collection}}
        await self.apply(
            {
                "apiVersion": "queuerecovery.dev/v1alpha1",
                "kind": "QueueTarget",
                "metadata": {"name": "team"},
                "spec": spec,
            }
        )

    async def recovery(self, name: str = "stuck", /, **spec: object) -> None:
        """Create a recovery of the queue `work`, as somebody does at night.

        Without jobs it only purges, and what it purges is a message of its own where there is none: with nothing to do
        it would end at once.
        """
        jobs: Json = {}
        if not {"restoreFrom", "jobs"} & spec.keys():
            jobs = {"jobs": []}
            if not await self.redis.exists("work", "unacked"):
                await self.redis.lpush("work", envelope("stuck"))
        await self.apply(
            {
                "apiVersion": "queuerecovery.dev/v1alpha1",
                "kind": "QueueRecovery",
                "metadata": {"name": name},
                "spec": {"targetRef": {"name": "team"}, "queue": "work", **jobs, **spec},
            }
        )

    async def change(self, name: str = "stuck", /, **spec: object) -> None:
        """Change fields of a recovery's spec."""
        await self.api.patch(f"{self.path('QueueRecovery')}/{name}", {"spec": spec})

    async def get(self, kind: str, name: str) -> Json:
        """Return an object, straight from the API server."""
        return await self.api.get(f"{self.path(kind)}/{name}")

    async def status(self, name: str = "stuck") -> Json:
        """Return a recovery's status."""
        status: Json = (await self.get("QueueRecovery", name)).get("status", {})
        return status

    async def reached(self, phase: str, name: str = "stuck", seconds: float = 120) -> Json:
        """Wait until a recovery is in that phase; return its status. Fails at once when it has ended in another one."""
        last: Json = {}

        async def there() -> bool:
            nonlocal last
            last = await self.status(name)
            now = last.get("phase")
            assert now == phase or "completionTime" not in last, json.dumps(last, indent=1)
            return bool(now == phase)

        try:
            await until(there, f"recovery {name} to be {phase}", seconds=seconds)
        except DeadlineError as error:
            raise AssertionError(f"{error}\n{json.dumps(last, indent=1)}") from None
        return last

    async def create_again(self, body: Json) -> None:
        """Delete a recovery, wait until it is gone, and create it with the same name and spec."""
        name = body["metadata"]["name"]
        await self.api.delete(f"{self.path('QueueRecovery')}/{name}", {})

        async def is_gone() -> bool:
            try:
                await self.get("QueueRecovery", name)
            except ApiError as error:
                return error.status == HTTPStatus.NOT_FOUND
            return False

        await until(is_gone, f"{name} to be gone")
        await self.apply({**body, "metadata": {"name": name}, "status": {}})

    async def waits(self, reason: str, name: str = "stuck") -> str:
        """Wait until a recovery's Ready condition has that reason; return its message."""
        last: Json = {}

        async def there() -> str | None:
            nonlocal last
            status = await self.status(name)
            last = condition(status, "Ready")
            return str(status["message"]) if last.get("reason") == reason else None

        try:
            return await until(there, f"reason {reason} of recovery {name}")
        except DeadlineError as error:
            raise AssertionError(f"{error}; last: {last}") from None

    async def failed_job(self, **fields: object) -> str:
        """Store a job that has failed; return its id."""
        document = {"_id": ObjectId(), "status": "failed", "task_id": str(uuid4()), **fields}
        await self.jobs.insert_one(document)
        return str(document["_id"])

    async def job(self, job_id: str) -> Json:
        """Return a job's document."""
        found = await self.jobs.find_one({"_id": ObjectId(job_id)})
        assert found is not None
        return found

    async def runs(self, job_id: str) -> list[str]:
        """Return the ids of the tasks that real workers ran for a job, in order."""
        found = await self.redis.lrange(f"ran:{job_id}", 0, -1)
        return [one.decode() for one in found if isinstance(one, bytes)]

    async def replicas(self, name: str = "worker") -> int:
        """Return what a Deployment asks for."""
        return int((await self.get("Deployment", name))["spec"]["replicas"])

    async def told(self, reason: str, name: str = "stuck") -> list[str]:
        """Wait until a recovery has an event of that reason; return the reasons of all its events.

        Events are posted after the status is written, in their order.
        """

        async def posted() -> list[str] | None:
            reasons = await self.events(name)
            return reasons if reason in reasons else None

        return await until(posted, f"an event {reason} of recovery {name}")

    async def events(self, name: str = "stuck") -> list[str]:
        """Return the reasons of a recovery's events."""
        return [one["reason"] for one in await self._events(name)]

    async def warned(self, reason: str, name: str = "stuck") -> str:
        """Wait until a recovery has a warning of that reason; return what it says."""

        async def posted() -> str | None:
            warnings = [one for one in await self._events(name) if one["type"] == "Warning"]
            return next((str(one["message"]) for one in warnings if one["reason"] == reason), None)

        return await until(posted, f"a warning {reason} of recovery {name}")

    async def has_event(self, start: str, name: str = "stuck") -> str:
        """Wait until a recovery has an event that begins with that text; return what it says."""

        async def posted() -> str | None:
            notes = [str(one["message"]) for one in await self._events(name)]
            return next((note for note in notes if note.startswith(start)), None)

        return await until(posted, f"an event of recovery {name} that begins with {start}")

    async def _events(self, name: str) -> list[Json]:
        listed = (await self.api.get(self.path("Event")))["items"]
        return [one for one in listed if one["involvedObject"]["name"] == name]

    async def queued(self) -> list[bytes]:
        """Return the messages in the queue's list, the next one first."""
        found = await self.redis.lrange("work", 0, -1)
        return [one for one in reversed(found) if isinstance(one, bytes)]


def condition(status: Json, kind: str) -> Json:
    """Return a condition of a status, or an empty one."""
    return next((one for one in status.get("conditions", []) if one["type"] == kind), {})
