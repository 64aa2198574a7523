"""A cluster of one real node, in its own Linux namespaces; it leaves nothing behind."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from sandbox.node import control_plane, packages
from sandbox.node.programs import NodePrograms, find_node_programs
from sandbox.node.settings import ADDRESS, NAME, NodeFiles
from sandbox.processes import DeadlineError, Process, Scope, end_of, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from sandbox.node.images import BuiltImage

_INIT: Final = Path(__file__).resolve().with_name("init.sh")
_START_SECONDS: Final = 120
_IMPORT_SECONDS: Final = 300


class NodeCluster:
    """A running control plane and node."""

    def __init__(self, scope: Scope, files: NodeFiles, programs: NodePrograms, init: int) -> None:
        """Store the parts; `init` is the id of the node's process 1 on the machine."""
        self.kubeconfig = files.folder / "pki" / f"{control_plane.ADMIN}.kubeconfig"
        """The administrator's; it works only in the node's network: see `kubectl`."""
        self._scope = scope
        self._files = files
        self._programs = programs
        self._init = init
        self._parts: dict[str, Process] = {}

    @classmethod
    @asynccontextmanager
    async def start(cls, images: Iterable[BuiltImage]) -> AsyncIterator[Self]:
        """Start a cluster with these images, and end it afterwards.

        Raises:
            NodeUnavailableError: this machine lacks a requirement, which the message names.
            DeadlineError: a part ended or was not ready in time; the end of its log is in the message.
            GoError: the build of a program failed.
        """
        packages.check()
        programs = await asyncio.to_thread(find_node_programs)
        async with Scope.open() as scope:
            files = NodeFiles(scope.folder / "node")
            files.folder.mkdir()
            _create_cgroups(scope.folder.name)
            control_plane.write_credentials(files.folder / "pki")
            files.write(cgroup=scope.folder.name)
            cluster = cls(scope, files, programs, await _start_namespaces(scope, files))
            await cluster._start_parts(images)
            yield cluster

    @property
    def folder(self) -> Path:
        """The temporary folder, with a log file for each part."""
        return self._scope.folder

    @property
    def kubectl(self) -> list[str]:
        """The beginning of a kubectl command with the administrator's permissions, for any folder."""
        return [*self.in_network, str(self._programs.control_plane.kubectl), f"--kubeconfig={self.kubeconfig}"]

    @property
    def in_network(self) -> list[str]:
        """The beginning of a command in the node's network."""
        return ["nsenter", f"--target={self._init}", "--net", "--"]

    async def stop_kubelet(self) -> None:
        """Kill the kubelet; containers continue."""
        await self._parts.pop("kubelet").kill()

    async def start_kubelet(self) -> None:
        """Start the kubelet, and return once its node is ready."""
        await self._start_kubelet()

        async def ready() -> bool:
            with suppress(KubectlFailedError):
                status = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
                return await self._kubectl("get", "node", NAME, "-o", status) == "True"
            return False

        await until(ready, f"{NAME} to be ready", seconds=_START_SECONDS, of=self._parts["kubelet"])

    async def stop_api_server(self) -> None:
        """Kill the API server, so that nothing answers at its address."""
        await self._parts.pop("kube-apiserver").kill()

    async def start_api_server(self) -> None:
        """Start the API server, and return once it is ready."""
        command = control_plane.apiserver(self._programs.control_plane, self._files.folder)
        process = await self._start("kube-apiserver", command)

        async def ready() -> bool:
            with suppress(KubectlFailedError):
                return await self._kubectl("get", "--raw", "/readyz") == "ok"
            return False

        await until(ready, "the API server to be ready", seconds=_START_SECONDS, of=process)

    async def stop_dns(self) -> None:
        """Kill the cluster's DNS."""
        await self._parts.pop("coredns").kill()

    async def start_dns(self) -> None:
        """Start the cluster's DNS, and return once it answers for the API server's Service."""
        process = await self._start("coredns", [self._programs.dns, f"-conf={self._files.folder / 'Corefile'}"])

        async def serves() -> bool:
            return b"cluster.local.:53" in process.log.read_bytes()

        await until(serves, "the cluster's DNS to serve", of=process)

    async def allocate_next(self, address: str) -> None:
        """Make this the next pod's address, once the pod that has it is gone.

        Without this call the plugin gives all other addresses first.
        """
        last = self._files.last_allocated
        script = 'while [ -e "$1" ]; do sleep 0.1; done; printf %s "$2" >"$3"'
        before = str(IPv4Address(address) - 1)
        command: list[str | Path] = ["sh", "-c", script, "sh", last.with_name(address), before, last]
        await self._completed(f"setting the next address to {address}", command)

    async def import_images(self, images: Iterable[BuiltImage]) -> None:
        """Import these images into containerd."""
        for image in images:
            await self._ctr(f"import of {image.name}", "import", str(image.archive))
            for tag in image.tags:
                await self._ctr(f"tag {tag}", "tag", image.name, tag)

    def end_of_logs(self) -> str:
        """Return the end of each part's log, for error messages."""
        return "\n".join(f"== {path.name}\n{end_of(path)}" for path in sorted(self.folder.glob("*.log")))

    async def _start_parts(self, images: Iterable[BuiltImage]) -> None:
        folder, programs = self._files.folder, self._programs.control_plane
        containerd = await self._start("containerd", ["containerd", f"--config={folder / 'containerd.toml'}"])

        async def listens() -> bool:
            return b"containerd successfully booted" in containerd.log.read_bytes()

        await until(listens, "containerd to listen", of=containerd)
        importing = asyncio.create_task(self.import_images(images))
        try:
            await self._start("etcd", control_plane.etcd(programs, self._files.state))
            await self.start_api_server()
            await self._start("kube-controller-manager", control_plane.controller_manager(programs, folder))
            await self._start("kube-scheduler", control_plane.scheduler(self._programs.scheduler, folder))
            await self._start("kube-proxy", [self._programs.proxy, f"--config={folder / 'proxy.yaml'}"])
            await self.start_dns()
            await importing
            await self.start_kubelet()
        finally:
            importing.cancel()

    async def _start_kubelet(self) -> None:
        folder = self._files.folder
        await self._start(
            "kubelet",
            [
                self._programs.kubelet,
                f"--config={folder / 'kubelet.yaml'}",
                f"--kubeconfig={folder / 'pki' / 'kubelet.kubeconfig'}",
                f"--hostname-override={NAME}",
                f"--node-ip={ADDRESS}",
                f"--root-dir={self._files.state / 'kubelet'}",
                f"--cert-dir={self._files.state / 'kubelet-pki'}",
            ],
        )

    async def _ctr(self, what: str, *arguments: str) -> None:
        """Run one of containerd's commands for images, and wait until it has ended."""
        ctr = ["ctr", f"--address={self._files.socket}", "--namespace=k8s.io", "images", *arguments]
        await self._completed(what, ctr)

    async def _completed(self, what: str, command: Sequence[str | Path]) -> None:
        process = await self._start(Path(command[0]).name, command)

        async def ended() -> bool:
            return process.exit_code is not None

        await until(ended, what, seconds=_IMPORT_SECONDS)
        if process.exit_code:
            raise DeadlineError(f"{what} failed\n{process.end_of_log()}")

    async def _start(self, name: str, command: Sequence[str | Path]) -> Process:
        enter = ["nsenter", f"--target={self._init}", *packages.NAMESPACES, "--"]
        process = await self._scope.start(name, [*enter, *command], environment={"TMPDIR": str(self._files.state)})
        self._parts[name] = process
        return process

    async def _kubectl(self, *arguments: str) -> str:
        child = await asyncio.create_subprocess_exec(
            *self.kubectl,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await child.communicate()
        if child.returncode:
            raise KubectlFailedError
        return output.decode()


class KubectlFailedError(Exception):
    """kubectl failed."""


async def _start_namespaces(scope: Scope, files: NodeFiles) -> int:
    """Start process 1 of the node's namespaces and return its id on the machine."""
    own = [*packages.NAMESPACES, "--fork", "--kill-child", "--mount-proc"]
    process = await scope.start("node", ["unshare", *own, _INIT, files.folder, NAME])

    async def prepared() -> bool:
        return (files.folder / "ready").exists()

    await until(prepared, "the node's namespaces", of=process)
    return _first_child(process.pid)


def _first_child(process: int) -> int:
    return int(Path(f"/proc/{process}/task/{process}/children").read_text().split()[0])


def _create_cgroups(name: str) -> None:
    """Create the node's control group in every hierarchy; the scope's janitor removes it."""
    unified = (packages.CGROUPS / "cgroup.controllers").exists()
    for hierarchy in [packages.CGROUPS] if unified else _hierarchies():
        (hierarchy / name).mkdir()
        for inherited in ("cpuset.cpus", "cpuset.mems"):
            # With version 1 a new group has no CPUs and no memory nodes at first.
            if (hierarchy / "cgroup.clone_children").exists() and (hierarchy / inherited).exists():
                shutil.copyfile(hierarchy / inherited, hierarchy / name / inherited)


def _hierarchies() -> list[Path]:
    """Return the mounted hierarchies of control groups of version 1."""
    found = [path for path in packages.CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]
    return [path for path in found if not (path / "cgroup.controllers").exists()]
