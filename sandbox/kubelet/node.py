"""The node: bind every pod to it, and run one task for each."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import os
import secrets
from typing import TYPE_CHECKING, Final

from sandbox.api import STRATEGIC_PATCH, Api, Json, insist
from sandbox.kubelet.container import timestamp
from sandbox.kubelet.pod import Pod
from sandbox.processes import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Mapping
    from pathlib import Path

NAME: Final = "sandbox"

_TERMINAL: Final = ("Succeeded", "Failed")
_DEFAULT_GRACE: Final = 30
_log = logging.getLogger(__name__)


class Node:
    """The sandbox's only node."""

    def __init__(self, api: Api, *, folder: Path, images: Path, environment: Mapping[str, str]) -> None:
        """Prepare the node.

        Args:
            api: the API server.
            folder: of the pods' logs while they exist.
            images: the file with the image table.
            environment: variables for every container's process.
        """
        self._api = api
        self._folder = folder
        self._images = images
        self._environment = environment
        self._pods: dict[str, Pod] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._addresses = _addresses()

    def find(self, namespace: str, name: str) -> Pod | None:
        """Return a pod of this node, or None."""
        return next((pod for pod in self._pods.values() if pod.names == (namespace, name)), None)

    async def register(self, logs_port: int) -> None:
        """Create the Node object.

        Args:
            logs_port: of the log server.
        """
        resources = {"cpu": str(os.cpu_count()), "memory": "64Gi", "pods": "1000", "ephemeral-storage": "100Gi"}
        ready = {
            "type": "Ready",
            "status": "True",
            "reason": "SandboxReady",
            "message": "pods are local processes",
            "lastHeartbeatTime": timestamp(),
            "lastTransitionTime": timestamp(),
        }
        node = {
            "metadata": {"name": NAME, "labels": {"kubernetes.io/hostname": NAME, "kubernetes.io/os": "linux"}},
            "status": {
                "capacity": resources,
                "allocatable": resources,
                "conditions": [ready],
                "addresses": [
                    {"type": "InternalIP", "address": LOOPBACK},
                    {"type": "Hostname", "address": NAME},
                ],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": logs_port}},
            },
        }
        if await insist(lambda: self._api.create("/api/v1/nodes", node)) is None:
            # It exists already if an earlier kubelet of this sandbox has ended.
            await insist(lambda: self._api.patch(f"/api/v1/nodes/{NAME}/status", node, STRATEGIC_PATCH))

    async def run(self) -> None:
        """Reconcile each pod with its object, until cancelled."""
        async for kind, pod in self._api.follow("/api/v1/pods"):
            if kind == "DELETED":
                self._forget(pod)
            elif pod["spec"].get("nodeName") == NAME:
                self._see(pod)
            elif self._may_be_bound(pod):
                self._start(self._bind(pod), f"bind {pod['metadata']['name']}")

    def _may_be_bound(self, pod: Json) -> bool:
        taken = "nodeName" in pod["spec"] or "deletionTimestamp" in pod["metadata"]
        return not taken and not pod["spec"].get("schedulingGates")

    async def _bind(self, pod: Json) -> None:
        metadata = {key: pod["metadata"][key] for key in ("namespace", "name", "uid")}
        target = {"apiVersion": "v1", "kind": "Node", "name": NAME}
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
        await insist(lambda: self._api.create(path, {"metadata": metadata, "target": target}))

    def _see(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if uid not in self._pods and (
            pod["status"].get("phase") not in _TERMINAL or "deletionTimestamp" in pod["metadata"]
        ):
            self._pods[uid] = Pod(
                self._api,
                pod,
                address=next(self._addresses),
                folder=self._folder / uid,
                images=self._images,
                environment=self._environment,
            )
            self._start(self._pods[uid].run(), f"run {pod['metadata']['name']}")
        if "deletionTimestamp" in pod["metadata"] and uid in self._pods:
            self._pods[uid].stop(pod["metadata"].get("deletionGracePeriodSeconds", _DEFAULT_GRACE))

    def _forget(self, pod: Json) -> None:
        known = self._pods.pop(pod["metadata"]["uid"], None)
        if known is not None:
            known.vanish()

    def _start(self, work: Coroutine[None, None, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        # Stored here, because the event loop has only weak references to tasks.
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("could not %s", task.get_name(), exc_info=error)


def _addresses() -> Iterator[str]:
    """Yield addresses of 127.0.0.0/8 from a random one on, so that two sandboxes share none."""
    first = int(ipaddress.ip_address("127.1.0.1")) + secrets.randbelow(2**23)
    return (str(ipaddress.ip_address(first + number)) for number in itertools.count())
