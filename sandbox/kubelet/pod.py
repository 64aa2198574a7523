"""One pod: its containers from start to end, and its status."""

from __future__ import annotations

import asyncio
import math
import shutil
from functools import partial
from typing import TYPE_CHECKING, Final

from sandbox.api import STRATEGIC_PATCH, Access, Api, Json, insist
from sandbox.kubelet.container import Container, PodContext, timestamp, wants_token
from sandbox.processes import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TOKEN_SECONDS: Final = 24 * 3600
_FORCED_GRACE: Final = 1


class Pod:
    """A pod that is bound to this node."""

    def __init__(
        self, api: Api, pod: Json, *, address: str, folder: Path, images: Path, environment: Mapping[str, str]
    ) -> None:
        """Prepare a pod; `run` starts it.

        Args:
            api: the API server, for the status, Secrets, ConfigMaps and the token.
            pod: the object.
            address: the pod's loopback address.
            folder: of its logs; `run` creates it, and it is removed with the pod.
            images: the file with the image table.
            environment: variables for every process on this node.
        """
        self._api = api
        self._folder = folder
        self._images = images
        self._environment = environment
        self._object: Json = pod | {"status": pod["status"] | {"hostIP": LOOPBACK, "podIP": address}}
        self._path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        self._start_time = timestamp()
        self._conditions: dict[str, Json] = {}
        self._init_containers: list[Container] = []
        self._containers: list[Container] = []
        self._changed = asyncio.Event()
        self._ending = asyncio.Event()
        self._over = False
        self._deadline = math.inf

    @property
    def names(self) -> tuple[str, str]:
        """The pod's namespace and name."""
        return self._object["metadata"]["namespace"], self._object["metadata"]["name"]

    def container(self, name: str) -> Container | None:
        """Return the container of a name, or None if there is none, yet."""
        return next((one for one in self._all_containers() if one.name == name), None)

    def stop(self, grace: float) -> None:
        """Begin to end the pod; a second call can shorten the grace period.

        Args:
            grace: seconds until processes are killed.
        """
        self._deadline = min(self._deadline, asyncio.get_running_loop().time() + grace)
        self._ending.set()
        for container in self._all_containers():
            container.stop(self._deadline)

    def vanish(self) -> None:
        """Begin to end a pod whose object is gone; its processes have one second."""
        self.stop(_FORCED_GRACE)

    async def run(self) -> None:
        """Run the pod until none of it runs and its object is gone."""
        self._folder.mkdir(parents=True)
        try:
            await self._create_containers()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._report())
                await self._run_containers()
                await self._ending.wait()
                self._over = True
                self._changed.set()
            await self._delete()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _all_containers(self) -> list[Container]:
        return [*self._init_containers, *self._containers]

    async def _create_containers(self) -> None:
        spec = self._object["spec"]
        context = PodContext(
            api=self._api,
            pod=self._object,
            folder=self._folder,
            images=self._images,
            environment={
                **self._environment,
                "HOME": str(self._folder),
                "TMPDIR": str(self._folder),
                "HOSTNAME": self.names[1],
            },
            kubeconfig=await self._write_kubeconfig() if wants_token(self._object) else None,
            changed=self._changed.set,
        )
        policy = spec["restartPolicy"]
        init_policy = "Never" if policy == "Never" else "OnFailure"
        self._init_containers = [Container(one, context, init_policy) for one in spec.get("initContainers", ())]
        self._containers = [Container(one, context, policy) for one in spec["containers"]]
        if self._ending.is_set():
            for container in self._all_containers():
                container.stop(self._deadline)

    async def _write_kubeconfig(self) -> Path:
        namespace, name = self.names
        account = self._object["spec"]["serviceAccountName"]
        pod = {"apiVersion": "v1", "kind": "Pod", "name": name, "uid": self._object["metadata"]["uid"]}
        request = {"spec": {"expirationSeconds": _TOKEN_SECONDS, "boundObjectRef": pod}}
        answer = await insist(
            lambda: self._api.create(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", request)
        )
        token = "" if answer is None else answer["status"]["token"]
        access = Access(self._api.access.server, self._api.access.authority, token)
        return access.write_kubeconfig(self._folder / "kubeconfig", namespace=namespace)

    async def _run_containers(self) -> None:
        self._changed.set()
        for container in self._init_containers:
            await container.run()
            if container.exit_code != 0:
                return
        async with asyncio.TaskGroup() as group:
            for container in self._containers:
                group.create_task(container.run())

    async def _report(self) -> None:
        """Write the status whenever it changes, and once more when the pod has ended."""
        while not self._over or self._changed.is_set():
            await self._changed.wait()
            self._changed.clear()
            body = {"metadata": {"uid": self._object["metadata"]["uid"]}, "status": self._status()}
            await insist(partial(self._api.patch, f"{self._path}/status", body, STRATEGIC_PATCH))

    async def _delete(self) -> None:
        """Delete the object, which tells all clients that the pod has ended."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": self._object["metadata"]["uid"]}}
        await insist(lambda: self._api.delete(self._path, options))

    def _status(self) -> Json:
        phase = self._phase()
        initialized = all(container.exit_code == 0 for container in self._init_containers)
        ready = phase == "Running" and all(container.ready for container in self._containers)
        unready = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase, "ContainersNotReady")
        self._set_condition("PodReadyToStartContainers", met=phase in {"Pending", "Running"}, otherwise="")
        self._set_condition("Initialized", met=initialized, otherwise="ContainersNotInitialized")
        self._set_condition("ContainersReady", met=ready, otherwise=unready)
        self._set_condition("Ready", met=ready, otherwise=unready)
        address = self._object["status"]["podIP"]
        return {
            "phase": phase,
            "startTime": self._start_time,
            "hostIP": LOOPBACK,
            "hostIPs": [{"ip": LOOPBACK}],
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": list(self._conditions.values()),
            "initContainerStatuses": [container.status() for container in self._init_containers],
            "containerStatuses": [container.status() for container in self._containers],
        }

    def _phase(self) -> str:
        codes = [container.exit_code for container in self._containers]
        if all(container.finished for container in self._containers):
            return "Succeeded" if all(code == 0 for code in codes) else "Failed"
        if any(container.finished and container.exit_code != 0 for container in self._init_containers):
            return "Failed"
        return "Running" if any(container.was_started for container in self._containers) else "Pending"

    def _set_condition(self, kind: str, *, met: bool, otherwise: str) -> None:
        status = "True" if met else "False"
        if self._conditions.get(kind, {}).get("status") != status:
            self._conditions[kind] = {
                "type": kind,
                "status": status,
                "reason": "" if met else otherwise,
                "lastTransitionTime": timestamp(),
            }
