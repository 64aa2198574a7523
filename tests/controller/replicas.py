"""Replicas of the operator as processes of their own, each under a ServiceAccount of its own."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from sandbox.api import Access, Api, Json
from sandbox.cluster import Sandbox
from sandbox.processes import LOOPBACK, Process, Scope, free_port, until
from tests.controller.link import Link

LEASE = 6
"""Seconds: as short as a busy machine tolerates, for a leader that is held up for two thirds of that ends."""

ALONE = {"QUEUE_RECOVERY_LEASE_SECONDS": "0"}

PROGRAM = Path(sys.executable).with_name("queue-recovery")
IMPATIENT = [sys.executable, "-m", "tests.controller.impatient_operator"]
"""For a test that waits until a failure has lasted."""


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
        link: Link | None = None,
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
        await self.api.create(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {"metadata": {"name": name}})
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

    async def allow(self, name: str, *, role: str = "cluster-admin") -> None:
        """Let a ServiceAccount do everything in the namespace, or what a ClusterRole grants."""
        await self.api.create(
            f"/apis/rbac.authorization.k8s.io/v1/namespaces/{self.namespace}/rolebindings",
            {
                "metadata": {"name": f"{name}-{role}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}],
            },
        )

    async def led_by(self, replica: Replica, *, seconds: float = 60) -> None:
        """Wait until a replica leads."""
        await until(replica.leads, f"{replica.name} to lead", seconds=seconds, every=0.1, of=replica.process)

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
        await self.api.create(f"/apis/queuerecovery.dev/v1alpha1/namespaces/{self.namespace}/queuerecoveries", body)

    async def status(self, name: str) -> Json:
        """Return a recovery's status."""
        path = f"/apis/queuerecovery.dev/v1alpha1/namespaces/{self.namespace}/queuerecoveries/{name}"
        status: Json = (await self.api.get(path)).get("status", {})
        return status

    async def phase(self, name: str) -> str | None:
        """Return a recovery's phase."""
        return (await self.status(name)).get("phase")

    async def taken_up(self, name: str) -> None:
        """Wait until a recovery has a phase."""
        await until(lambda: self.phase(name), f"a leader to take the recovery {name} up")

    @classmethod
    @asynccontextmanager
    async def open(cls, sandbox: Sandbox) -> AsyncIterator["Replicas"]:
        """Yield those of a new namespace; afterwards they end, and the namespace can be deleted."""
        async with sandbox.namespace() as namespace, Api(sandbox.control_plane.admin) as api:
            async with Scope.open() as scope:
                yield cls(sandbox, namespace, api, scope)
            for name in (await sandbox.kubectl("-n", namespace, "get", "qr", "-o", "name")).split():
                # Nobody is left who would take its finalizer away.
                await sandbox.kubectl(
                    "-n", namespace, "patch", name, "--type=merge", '--patch={"metadata":{"finalizers":null}}'
                )


@dataclass
class Pair:
    """Two replicas for one test after the other; those that a test has ended are replaced for the next one."""

    replicas: Replicas
    stack: AsyncExitStack
    running: list[Replica] = field(default_factory=list)
    links: dict[str, Link] = field(default_factory=dict)
    """The connection of each to the API server, by name."""
    numbers: "count[int]" = field(default_factory=lambda: count(1))

    async def both(self) -> tuple[Replica, Replica]:
        """Return the one that leads and is ready for it, and the one that stands by."""
        self.running = [replica for replica in self.running if replica.process.exit_code is None]
        self.running += await asyncio.gather(*(self._start() for _ in range(2 - len(self.running))))

        async def leader() -> Replica | None:
            leading = [replica for replica in self.running if await replica.leads()]
            return leading[0] if leading else None

        leads = await until(leader, "one of them to lead", every=0.1)
        await until(leads.ready, "the leader to be ready", every=0.1, of=leads.process)
        [other] = [replica for replica in self.running if replica is not leads]
        await until(other.ready, "the other one to stand by", every=0.1, of=other.process)
        return leads, other

    async def _start(self) -> Replica:
        name = f"replica-{next(self.numbers)}"
        self.links[name] = await self.stack.enter_async_context(Link.open(self.replicas.sandbox))
        return await self.replicas.start(name, link=self.links[name])
