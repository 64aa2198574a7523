"""The whole sandbox: control plane, kubelet stand-in, brokers and stores in one temporary folder."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from sandbox import control_plane, images
from sandbox.api import Access, Api, ApiError, Json
from sandbox.broker import Broker, Flavour
from sandbox.build import Programs, find_programs
from sandbox.images import Image, Images
from sandbox.job_store import JobStore
from sandbox.kubectl import run_kubectl
from sandbox.kubelet.node import NAME as NODE
from sandbox.processes import ROOT, Process, Scope, python_module, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from sandbox.control_plane import ControlPlane

_TOKEN_SECONDS: Final = 24 * 3600


def default_images() -> Images:
    """Return the images of this repository: the operator's and the example application's."""
    environment = images.python_environment(Path(sys.executable).parent)
    return {
        "queue-recovery": Image(
            folder=ROOT,
            entrypoint=("queue-recovery",),
            # Pods share the machine's network: two operators that listen on all addresses would conflict, and
            # brokers and job stores are on loopback.
            environment={
                **environment,
                "QUEUE_RECOVERY_HTTP_HOST": "$(POD_IP)",
                "QUEUE_RECOVERY_ALLOW_LOCAL_ADDRESSES": "true",
            },
        ),
        "stuck-queue-app": Image(folder=ROOT / "examples" / "stuck-queue", environment=environment),
    }


class Sandbox:
    """A running sandbox."""

    def __init__(self, scope: Scope, programs: Programs, plane: ControlPlane, kubelet: Process, table: Images) -> None:
        self.control_plane = plane
        self.kubelet = kubelet
        self.kubeconfig = plane.admin.write_kubeconfig(scope.folder / "kubeconfig")
        """The administrator's."""
        self._scope = scope
        self._programs = programs
        self._images = table

    @classmethod
    @asynccontextmanager
    async def start(
        cls, *, images: Mapping[str, Image] | None = None, report: Callable[[str], None] = lambda _: None
    ) -> AsyncIterator[Self]:
        """Start a control plane with one node, and end it and everything in it afterwards.

        The first start builds the control plane, which takes minutes; the terminal shows its progress.

        Args:
            images: container images besides those of `default_images()`, by repository name.
            report: called with each step when it begins.

        Raises:
            DeadlineError: a part ended or was not ready in time; the end of its log is in the message.
            GoError: the control plane had to be built and could not be.
        """
        programs = await asyncio.to_thread(find_programs)
        table = {**default_images(), **(images or {})}
        async with Scope.open() as scope:
            report("starting etcd, the API server and the controller manager")
            plane = await control_plane.start(scope, programs)
            report("starting a node, on which pods are local processes")
            kubelet = await _start_kubelet(scope, plane, table)
            yield cls(scope, programs, plane, kubelet, table)

    @property
    def folder(self) -> Path:
        """The temporary folder, with a log file for each process."""
        return self._scope.folder

    @property
    def processes(self) -> list[Process]:
        """The processes that the sandbox cannot do without."""
        plane = self.control_plane
        return [plane.etcd, plane.apiserver, plane.controller_manager, self.kubelet]

    @property
    def kubectl_program(self) -> Path:
        return self._programs.kubectl

    def add_image(self, name: str, image: Image) -> None:
        """Add or replace an image, for containers that start from now on."""
        self._images = {**self._images, name: image}
        images.write(_image_table(self._scope), self._images)

    async def kubectl(self, *arguments: str, input: str | None = None, seconds: float = 60) -> str:  # noqa: A002 - as in subprocess.run
        """Run kubectl as the administrator.

        Args:
            arguments: the command line.
            input: the standard input, for example of `apply -f -`.
            seconds: the timeout.

        Returns:
            The standard output.

        Raises:
            KubectlError: kubectl failed; the message is its standard error.
            TimeoutError: kubectl took longer.
        """
        env = self._scope.environment(KUBECONFIG=str(self.kubeconfig))
        return await run_kubectl([self.kubectl_program], arguments, given=input, seconds=seconds, env=env)

    @asynccontextmanager
    async def namespace(self, prefix: str = "test") -> AsyncIterator[str]:
        """Create a namespace that is ready for pods, yield its name, and delete it afterwards.

        The deletion is not awaited; pods get a second to end.
        """
        name = f"{prefix}-{secrets.token_hex(4)}"
        async with Api(self.control_plane.admin) as api:
            await api.create("/api/v1/namespaces", {"metadata": {"name": name}})

            async def account() -> Json | None:
                try:
                    return await api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")
                except ApiError:
                    return None

            await until(account, f"the default ServiceAccount of {name}", of=self.control_plane.controller_manager)
            try:
                yield name
            finally:
                await api.delete(f"/api/v1/namespaces/{name}", {})
                await api.delete(f"/api/v1/namespaces/{name}/pods", {"gracePeriodSeconds": 1})

    def audit(self) -> list[Json]:
        """Return the requests to the API server so far, oldest first, as `audit.k8s.io/v1` events."""
        return self.control_plane.audit()

    async def start_program(
        self, name: str, command: Sequence[str | Path], *, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program that ends with the sandbox; see `Scope.start`."""
        return await self._scope.start(name, command, environment=environment)

    async def start_broker(
        self, *, flavour: Flavour | None = None, options: Sequence[str] = (), port: int | None = None
    ) -> Broker:
        """Start a broker that ends with the sandbox; see `Broker.start`."""
        return await Broker.start(self._scope, flavour=flavour, options=options, port=port)

    async def start_job_store(self, *, port: int | None = None, authentication: bool = False) -> JobStore:
        """Start a job store that ends with the sandbox; see `JobStore.start`."""
        return await JobStore.start(self._scope, port=port, authentication=authentication)

    async def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Write a kubeconfig with a token of a ServiceAccount, valid for a day, and return its path.

        Raises:
            ApiError: there is no such ServiceAccount.
        """
        async with Api(self.control_plane.admin) as api:
            answer = await api.create(
                f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
                {"spec": {"expirationSeconds": _TOKEN_SECONDS}},
            )
        admin = self.control_plane.admin
        access = Access(admin.server, admin.authority, answer["status"]["token"])
        return access.write_kubeconfig(self.folder / f"{namespace}-{name}.kubeconfig", namespace=namespace)

    async def signal_container(self, namespace: str, pod: str, container: str, number: signal.Signals) -> None:
        """Send a signal to a container's first process; SIGKILL goes to its whole process group.

        Raises:
            ApiError: there is no such pod.
            ProcessLookupError: the container is not running.
        """
        async with Api(self.control_plane.admin) as api:
            found = await api.get(f"/api/v1/namespaces/{namespace}/pods/{pod}")
        for status in found["status"].get("containerStatuses", ()):
            if status["name"] == container and "running" in status["state"]:
                process = int(status["containerID"].removeprefix("process://"))
                if number == signal.SIGKILL:
                    os.killpg(process, number)
                else:
                    os.kill(process, number)
                return
        raise ProcessLookupError(f"container {container} of {namespace}/{pod} does not run")


async def _start_kubelet(scope: Scope, plane: ControlPlane, table: Images) -> Process:
    images.write(_image_table(scope), table)
    kubeconfig = plane.kubelet.write_kubeconfig(scope.folder / "control-plane" / "kubelet.kubeconfig")
    kubelet = await scope.start(
        "kubelet",
        [
            *python_module("sandbox.kubelet"),
            f"--kubeconfig={kubeconfig}",
            f"--images={_image_table(scope)}",
            f"--folder={scope.folder / 'pods'}",
            f"--key={plane.kubelet_server.key}",
            f"--certificate={plane.kubelet_server.certificate}",
            f"--authority={plane.authority}",
        ],
    )
    async with Api(plane.admin) as api:

        async def node() -> list[Json]:
            nodes: list[Json] = (await api.get("/api/v1/nodes"))["items"]
            return nodes

        await until(node, f"the node {NODE}", of=kubelet)
    return kubelet


def _image_table(scope: Scope) -> Path:
    return scope.folder / "images.json"
