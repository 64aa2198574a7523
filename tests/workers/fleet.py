"""Deployments in the sandbox, as their owners see and change them: with kubectl and through the API server."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.reasons import Outcome
from queue_recovery.api.worker_ref import DEPLOYMENT, ROLLOUT, STATEFUL_SET, GroupVersionKind, WorkerRef
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote, Worker, Workers
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.informers import Informers
from queue_recovery.workers.kubernetes_workers import KubernetesWorkers
from queue_recovery.workers.permissions import ServiceAccount
from sandbox.api import Access, Api, Json
from sandbox.cluster import Sandbox
from sandbox.processes import until
from tests.rollouts import CREW
from tests.sample_worker import ref

RUN = "0d5f7c1e-7f5e-4e0e-9d43-2a1c5f2d9b11"
OTHER_RUN = "9b1a4a0e-02c7-4d52-8f5f-61f0a3c0c7aa"
SECONDS = 30

SERVER_SIDE = "--server-side=true"
CLIENT_SIDE = "--server-side=false"
"""Options of `kubectl apply`."""

_APPLY_PATCH = "application/apply-patch+yaml"

PLURALS = {DEPLOYMENT: "deployments", STATEFUL_SET: "statefulsets", ROLLOUT: "rollouts", CREW: "crews"}

QUICK = "import signal; signal.pause()"
"""Ends at once when it is asked to."""


@dataclass(frozen=True)
class SlowWorkers:
    """Workers that go on after they were asked to end, until the test lets them; those that start then are ordinary."""

    folder: Path

    @property
    def script(self) -> str:
        """The program of each."""
        return (
            "import os, pathlib, signal, time\n"
            f"folder = pathlib.Path({str(self.folder)!r})\n"
            "if (folder / 'end').exists(): signal.pause()\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "(folder / f'working-{os.getpid()}').touch()\n"
            "while not (folder / 'end').exists(): time.sleep(0.02)\n"
        )

    async def running(self, count: int) -> None:
        """Wait until that many of them would outlive a request to end."""

        async def seen() -> bool:
            return len(list(self.folder.glob("working-*"))) == count

        await until(seen, f"{count} slow workers to be running")

    def end(self) -> None:
        (self.folder / "end").touch()


def note(replicas: int, run: str = RUN) -> ScaleBackNote:
    return ScaleBackNote(uid=run, name="tts-wrong-shape", replicas=replicas)


def manifest(name: str = "worker", *, replicas: int | None = 2, script: str = QUICK, **spec: object) -> Json:
    """Return a Deployment whose pods run a Python program; `spec` is added to the Deployment's."""
    labels = {"app": name}
    container = {
        "name": "main",
        "image": "queue-recovery:test",
        "command": ["python", "-c", script],
    }
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": SECONDS},
    }
    scale = {} if replicas is None else {"replicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **scale, **spec},
    }


def stateful(deployment: Json) -> Json:
    """Return the same as a StatefulSet."""
    return {**deployment, "kind": "StatefulSet", "spec": {**deployment["spec"], "serviceName": "workers"}}


def workers_of(client: ApiClient, namespace: str = "media", account: ServiceAccount | None = None) -> KubernetesWorkers:
    """Return the Deployments of a namespace, over one connection."""
    return KubernetesWorkers(Informers(Connections.all_by(client), namespace, account))


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[ApiClient]:
    """Connect the operator's client with the identity of a kubeconfig file."""
    access = Access.read_kubeconfig(kubeconfig)
    configuration = Configuration(
        host=access.server,
        ssl_ca_cert=str(access.authority),
        api_key={"BearerToken": access.token},
        api_key_prefix={"BearerToken": "Bearer"},
    )
    async with ApiClient(configuration) as client:
        yield client


@dataclass(kw_only=True)
class Fleet:
    """One namespace with Deployments, and the operator's view of it."""

    sandbox: Sandbox
    namespace: str
    api: Api
    workers: Workers
    gvk: GroupVersionKind = DEPLOYMENT
    """The kind of the workers that it applies and looks at."""

    async def kubectl(self, *arguments: str, input: str | None = None) -> str:  # noqa: A002 - as in subprocess.run
        return await self.sandbox.kubectl("-n", self.namespace, *arguments, input=input)

    async def apply(self, deployment: Mapping[str, Any], *options: str) -> None:
        """Apply a manifest on the server's side; with options as `kubectl apply` does, which takes longer."""
        if options:
            await self.kubectl("apply", *options, "-f", "-", input=json.dumps(deployment))
            return
        path = self._path(deployment["metadata"]["name"])
        await self.api.patch(f"{path}?fieldManager=owner&force=true", dict(deployment), _APPLY_PATCH)

    async def roll_out(self, deployment: Mapping[str, Any], *options: str) -> Worker:
        """Apply a manifest, wait until it is rolled out, and return what the operator sees then."""
        await self.apply(deployment, *options)
        return await self.await_rollout(deployment["metadata"]["name"])

    async def await_rollout(self, name: str = "worker") -> Worker:
        """Wait until the operator sees the rollout as complete; right behind a scaling its status may lag once more."""

        async def seen() -> Worker | None:
            found = await self.look(name)
            return found if found.rollout is None else None

        return await until(seen, f"the rollout of {name}")

    async def look(self, name: str = "worker") -> Worker:
        (seen,) = await self.workers.look([self.ref(name)])
        return seen

    async def hold(self, name: str = "worker", *, run: str = RUN) -> Worker:
        """Scale a Deployment to 0 as a recovery does, looking again when it has changed; return it as it was."""

        async def held() -> Worker | None:
            seen = await self.look(name)
            try:
                await self.workers.scale_to_zero(seen, note(seen.replicas, run))
            except RecoveryError as error:
                if error.outcome is not Outcome.UNAVAILABLE:
                    raise
                return None
            return seen

        return await until(held, f"{name} to be scaled to 0")

    async def drained(self, name: str = "worker") -> Worker:
        """Wait until the operator sees the Deployment as drained."""

        async def seen() -> Worker | None:
            found = await self.look(name)
            return found if found.drained else None

        return await until(seen, f"{name} to be drained")

    async def deployment(self, name: str = "worker") -> Json:
        return await self.api.get(self._path(name))

    async def patch(self, body: Json, name: str = "worker") -> Json:
        return await self.api.patch(self._path(name), body)

    def ref(self, name: str = "worker") -> WorkerRef:
        """Return a worker of its kind."""
        return ref(name, self.gvk.kind, api_version=self.gvk.api_version)

    async def resume(self, name: str = "worker") -> None:
        """Go on with the update of a Rollout that waits for that, as `kubectl argo rollouts promote` does."""
        await self.api.patch(f"{self._path(name)}/status", {"status": {"pauseConditions": None}})

    def _path(self, name: str) -> str:
        return f"/apis/{self.gvk.api_version}/namespaces/{self.namespace}/{PLURALS[self.gvk]}/{name}"

    async def pods(self) -> list[Json]:
        found: list[Json] = (await self.api.get(f"/api/v1/namespaces/{self.namespace}/pods"))["items"]
        return found

    async def all_terminating(self, count: int) -> None:
        """Wait until there are that many pods and every one has been asked to end."""

        async def seen() -> bool:
            pods = await self.pods()
            return len(pods) == count and all("deletionTimestamp" in pod["metadata"] for pod in pods)

        await until(seen, f"{count} pods to be terminating")

    def requests(self, *, verbs: frozenset[str] = frozenset({"list", "watch"})) -> list[Json]:
        """Return the operator's finished or begun requests in this namespace, from the audit log."""
        return [
            event
            for event in self.sandbox.audit()
            if event["verb"] in verbs
            and event.get("objectRef", {}).get("namespace") == self.namespace
            and event.get("userAgent", "").startswith("OpenAPI-Generator")
        ]
