"""An API server that answers as a test tells it, for trouble that a real one does not make at will."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

Json = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DEPLOYMENT: Json = {
    "metadata": {"name": "worker", "uid": "d", "resourceVersion": "5", "generation": 1},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "worker"}}},
    "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
}
REPLICA_SET: Json = {
    "metadata": {
        "name": "worker-1",
        "uid": "rs",
        "resourceVersion": "5",
        "ownerReferences": [{"uid": "d", "kind": "Deployment", "controller": True}],
    },
    "spec": {"replicas": 1},
}


AT_ZERO: Json = {"observedGeneration": 1, "replicas": 0}


def pod(name: str, version: str = "5") -> Json:
    owner = {"uid": "rs", "kind": "ReplicaSet", "controller": True}
    metadata = {"name": name, "uid": name, "resourceVersion": version, "ownerReferences": [owner]}
    running = {"name": "main", "state": {"running": {}}}
    return {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [running]}}


def listed(*items: Json, version: str = "10") -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": version}, "items": list(items)})


def at_zero(content: Json) -> Json:
    """Return the Deployment or the ReplicaSet as it is once it is scaled to 0."""
    metadata = {**content["metadata"], "resourceVersion": "30"}
    return {**content, "metadata": metadata, "spec": {**content["spec"], "replicas": 0}, "status": AT_ZERO}


def event(kind: str, content: Json) -> bytes:
    """Return one line of a watch."""
    return json.dumps({"type": kind, "object": content}).encode() + b"\n"


@dataclass
class Asked:
    """A request that the server got."""

    method: str
    resource: str
    watch: bool
    since: str | None
    body: Any


@dataclass
class ScriptedApi:
    """A listening server, and a client that talks to it."""

    client: ApiClient
    asked: list[Asked] = field(default_factory=list)

    def about(self, resource: str) -> list[tuple[bool, str | None]]:
        """Return the lists and watches of a resource: whether it was a watch, and since which version."""
        return [(one.watch, one.since) for one in self.asked if one.resource == resource]


@asynccontextmanager
async def scripted(handler: Handler) -> AsyncIterator[ScriptedApi]:
    """Serve on a free port."""

    async def serve(request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read() or b"null")
        watch, since = request.query.get("watch"), request.query.get("resourceVersion")
        resource = request.path.partition("/namespaces/media/")[2].partition("/")[0]
        api.asked.append(Asked(request.method, resource, watch is not None and watch.lower() == "true", since, body))
        return await handler(request)

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        _, port = runner.addresses[0][:2]
        async with ApiClient(Configuration(host=f"http://127.0.0.1:{port}")) as client:
            api = ScriptedApi(client)
            yield api
    finally:
        await runner.cleanup()


def cluster(pod_watches: Sequence[Sequence[bytes | None]], pod_lists: Sequence[web.Response]) -> Handler:
    """Answer as a namespace with one Deployment, whose pods' lists and watches go as told.

    Args:
        pod_watches: the lines that each watch of the pods sends before the server ends it; `None` cuts the connection
            instead. A watch beyond those stays open and silent, as those of the other resources do.
        pod_lists: the answers to the lists of the pods.
    """
    watches, lists = iter(pod_watches), iter(pod_lists)

    async def handle(request: web.Request) -> web.StreamResponse:
        resource = request.path.rpartition("/")[2]
        if request.query.get("watch", "").lower() != "true":
            others = {"deployments": DEPLOYMENT, "replicasets": REPLICA_SET}
            return listed(others[resource]) if resource in others else next(lists)
        response = web.StreamResponse()
        await response.prepare(request)
        lines = next(watches, None) if resource == "pods" else None
        if lines is None:
            await asyncio.Event().wait()
        for line in lines or ():
            if line is None:
                assert request.transport is not None
                request.transport.close()
                return response
            await response.write(line)
        return response

    return handle
