"""Replicas of the operator as processes of their own, each under a ServiceAccount of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from sandbox.api import Access, Api, Json
from sandbox.cluster import Sandbox
from sandbox.processes import LOOPBACK, Process, Scope, free_port, until

LEASE = 6
"""Seconds: as short as a busy machine tolerates."""

PROGRAM = Path(sys.executable).with_name("queue-recovery")


@dataclass(frozen=True)
class Replica:
    """One of them."""

    name: str
    user: str
    process: Process
    port: int

    async def get(self, path: str) -> str:
        """Return the answer to a GET, with its headers, or nothing while the port is closed."""
        try:
            reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        except OSError:
            return ""
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        return answer.decode()

    async def ready(self) -> bool:
        """Tell whether it calls itself ready."""
        return "200 OK" in await self.get("/readyz")

    async def unready(self) -> bool:
        """Tell whether it answers that it is not ready."""
        return "503 Service Unavailable" in await self.get("/readyz")

    async def waits_for(self) -> str:
        """Return what it says that it is not ready for."""
        answer = await self.get("/readyz")
        return answer.rpartition("\r\n")[2] if "503" in answer else ""

    def log(self, text: str) -> list[str]:
        """Return the lines of its log that hold a text."""
        return [line for line in self.process.log.read_text().splitlines() if text in line]

    async def leads(self) -> bool:
        """Tell whether its metrics say that it leads."""
        return "queue_recovery_leader 1.0" in await self.get("/metrics")


@dataclass
class Replicas:
    """Those of one namespace, which is all that they watch."""

    sandbox: Sandbox
    namespace: str
    api: Api
    scope: Scope

    async def start(
        self,
        name: str,
        *,
        program: Sequence[str | Path] = (PROGRAM,),
        allowed: bool = True,
        link: "Link | None" = None,
        environment: Mapping[str, str] | None = None,
    ) -> Replica:
        """Start one under a new ServiceAccount that may do all in the namespace, or nothing.

        `environment` is added to its settings, or replaces some.
        """
        await self.account(name, allowed=allowed)
        kubeconfig = await self.sandbox.service_account_kubeconfig(self.namespace, name)
        if link is not None:
            access = Access.read_kubeconfig(kubeconfig)
            Access(link.url, access.authority, access.token).write_kubeconfig(kubeconfig, namespace=self.namespace)
        return await self.run(name, program, {"KUBECONFIG": str(kubeconfig), **(environment or {})})

    async def account(self, name: str, *, allowed: bool = True) -> None:
        """Create a ServiceAccount that may do all in the namespace, or nothing."""
        await self.sandbox.kubectl("-n", self.namespace, "create", "serviceaccount", name)
        if allowed:
            await self.allow(name)

    async def run(self, name: str, program: Sequence[str | Path], environment: Mapping[str, str]) -> Replica:
        """Start one with these settings besides those of a replica; they say how it reaches the API server."""
        port = free_port()
        process = await self.scope.start(
            name,
            program,
            environment={
                "QUEUE_RECOVERY_NAMESPACES": self.namespace,
                "QUEUE_RECOVERY_ALLOW_LOCAL_ADDRESSES": "true",
                "QUEUE_RECOVERY_HTTP_HOST": LOOPBACK,
                "QUEUE_RECOVERY_HTTP_PORT": str(port),
                "QUEUE_RECOVERY_LEASE_SECONDS": str(LEASE),
                "QUEUE_RECOVERY_POD_NAME": name,
                "QUEUE_RECOVERY_POD_NAMESPACE": self.namespace,
                **environment,
            },
        )
        return Replica(name, f"system:serviceaccount:{self.namespace}:{name}", process, port)

    async def allow(self, name: str) -> None:
        """Let a ServiceAccount do everything in the namespace."""
        account = f"--serviceaccount={self.namespace}:{name}"
        await self.sandbox.kubectl(
            "-n", self.namespace, "create", "rolebinding", name, "--clusterrole=cluster-admin", account
        )

    async def two(self, *, lease: int = LEASE) -> tuple[Replica, Replica]:
        """Start two with a lease of so many seconds; return the one that leads, and the one that stands by."""
        environment = {"QUEUE_RECOVERY_LEASE_SECONDS": str(lease)}
        first = await self.start("first", environment=environment)
        await self.led_by(first)
        second = await self.start("second", environment=environment)
        await until(second.ready, "the other one to stand by", of=second.process)
        return first, second

    async def led_by(self, replica: Replica, *, seconds: float = 60) -> None:
        """Wait until a replica leads."""
        await until(replica.leads, f"{replica.name} to lead", seconds=seconds, of=replica.process)

    async def lease(self) -> Json:
        """Return the lease's spec."""
        path = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases/queue-recovery"
        spec: Json = (await self.api.get(path))["spec"]
        return spec

    async def recovery(self, name: str) -> None:
        """Create a recovery that waits for its target."""
        body = {
            "apiVersion": "queuerecovery.dev/v1alpha1",
            "kind": "QueueRecovery",
            "metadata": {"name": name},
            "spec": {"targetRef": {"name": "nobody"}, "queue": "work", "jobs": []},
        }
        await self.sandbox.kubectl("-n", self.namespace, "apply", "-f", "-", input=yaml.safe_dump(body))

    async def status(self, name: str) -> Json:
        """Return a recovery's status."""
        path = f"/apis/queuerecovery.dev/v1alpha1/namespaces/{self.namespace}/queuerecoveries/{name}"
        status: Json = (await self.api.get(path)).get("status", {})
        return status

    async def phase(self, name: str) -> str | None:
        """Return a recovery's phase."""
        return (await self.status(name)).get("phase")


class Link:
    """A way to the API server that can be made to hang, as a network does: nothing arrives, nothing is closed."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._passing = asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """The API server's address through it."""
        return f"https://{LOOPBACK}:{self.port}"

    def cut(self) -> None:
        """Let nothing through from now on."""
        self._passing.clear()

    async def listen(self) -> None:
        """Accept connections, after `close` on the same port as before."""
        self._server = await asyncio.start_server(self._join, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for writer in self._writers:  # also of those whose task had not begun
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)
        self._writers.clear()

    @classmethod
    @asynccontextmanager
    async def open(cls, sandbox: Sandbox) -> AsyncIterator["Link"]:
        """Listen until the block is left."""
        made = cls(int(sandbox.control_plane.admin.server.rpartition(":")[2]))
        await made.listen()
        try:
            yield made
        finally:
            await made.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there, back = await asyncio.open_connection(LOOPBACK, self._target)
        self._writers.add(back)
        for source, sink in ((reader, back), (there, writer)):
            task = asyncio.ensure_future(self._pass(source, sink))
            self._tasks.add(task)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(2**16):
                await self._passing.wait()
                sink.write(data)
                await sink.drain()
        except OSError:
            return
        finally:
            sink.close()
