"""The servers that cases share: a cluster with the operator's RBAC but no operator, a broker, and a job store."""

import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from sandbox.api import Access, Api, Json
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from sandbox.job_store import JobStore
from sandbox.processes import LOOPBACK
from tests import keda, rollouts
from tests.chaos.operators import Operators
from tests.chaos.points import PRODUCER
from tests.chaos.proxy import Proxy
from tests.chaos.scenario import Scenario
from tests.mongodb import Database, open_database, through

_DATABASES = 10_000


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What lies between the operator and each of its servers."""

    redis: Proxy
    mongo: Proxy
    k8s: Proxy

    def of(self, effect: str) -> Proxy:
        """Return the one that an effect passes through."""
        server = effect.removeprefix("(target) ").split(" ", 1)[0]
        proxy: Proxy = getattr(self, server)
        return proxy


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """One case's share of the servers."""

    scenario: Scenario
    networks: Networks
    environment: Mapping[str, str]
    """Of its operators."""
    own_store: JobStore | None
    """The job store, when the case has one to itself."""


class Servers:
    """The servers that all cases share, each case with a namespace, a database and a collection of its own."""

    def __init__(
        self, sandbox: Sandbox, broker: Broker, database: Database, operators: Operators, api: Api, access: Access
    ) -> None:
        """Take what has been started; `access` is that of the operator's ServiceAccount."""
        self.operators = operators
        self.folder = sandbox.folder
        self.kubeconfig = sandbox.kubeconfig
        self._sandbox = sandbox
        self._broker = broker
        self._database = database
        self._api = api
        self._access = access
        self._databases = count()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Servers"]:
        """Start everything, and end it with the block."""
        async with AsyncExitStack() as stack:
            sandbox = await stack.enter_async_context(Sandbox.start())
            await sandbox.kubectl("apply", "-k", "crds/")
            await sandbox.kubectl("apply", "-f", "-", input=json.dumps(keda.CRD))
            await sandbox.kubectl("apply", "-f", "-", input=json.dumps(rollouts.CRD))
            await sandbox.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all")
            permissions = (f"manifests/operator/{name}.yaml" for name in ("namespace", "rbac", "tenant_role"))
            await sandbox.kubectl("apply", *(f"--filename={path}" for path in permissions))
            kubeconfig = await sandbox.service_account_kubeconfig("queue-recovery", "queue-recovery")
            broker = await sandbox.start_broker(options=["--databases", str(_DATABASES)])
            database = await stack.enter_async_context(
                open_database(partial(sandbox.start_job_store, authentication=True))
            )
            loading = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
            operators = await stack.enter_async_context(Operators.open(sandbox.folder / "operators", loading))
            api = await stack.enter_async_context(Api(sandbox.control_plane.admin))
            yield cls(sandbox, broker, database, operators, api, Access.read_kubeconfig(kubeconfig))

    @asynccontextmanager
    async def fixture(
        self,
        *,
        real_workers: bool = False,
        own_store: bool = False,
        pending: bool = False,
        restarts: bool = False,
        redelivers: bool = False,
        stateful: bool = False,
        rollout: bool = False,
    ) -> AsyncIterator[Fixture]:
        """Make room for one case, and set it up; a case that ends or breaks its job store has one to itself."""
        number = next(self._databases)
        async with AsyncExitStack() as stack:
            namespace = await stack.enter_async_context(self._sandbox.namespace("chaos"))
            own = await self._own_store(stack) if own_store else None
            database = self._database if own is None else Database(url=own.url, name="app")
            networks = await self._networks(stack, database)
            direct = f"redis://127.0.0.1:{self._broker.port}/{number}"
            mongo: AsyncMongoClient[Json] = await stack.enter_async_context(AsyncMongoClient(database.url))
            collection = namespace.replace("-", "_")
            store_url = await database.operator_url(collection)
            scenario = Scenario(
                sandbox=self._sandbox,
                namespace=namespace,
                broker_url=direct,
                store_url=store_url,
                redis=await stack.enter_async_context(Redis.from_url(direct)),
                jobs=mongo[database.name][collection],
                api=self._api,
                real_workers=real_workers,
                pending=pending,
                restarts=restarts,
                redelivers=redelivers,
                stateful=stateful,
                rollout=rollout,
            )
            await scenario.secrets(
                redis=f"redis://127.0.0.1:{networks.redis.port}/{number}",
                mongo=through(store_url, networks.mongo.port),
            )
            await stack.enter_async_context(scenario.controlled())
            await scenario.set_up()
            yield Fixture(
                scenario=scenario,
                networks=networks,
                environment={
                    "PATH": os.environ["PATH"],
                    "HOME": str(self.folder),
                    "KUBECONFIG": str(self._kubeconfig(namespace, networks.k8s)),
                    "QUEUE_RECOVERY_NAMESPACES": namespace,
                    "QUEUE_RECOVERY_ALLOW_LOCAL_ADDRESSES": "true",
                    "QUEUE_RECOVERY_HTTP_HOST": "127.0.0.1",
                    "QUEUE_RECOVERY_HTTP_PORT": "0",
                    "QUEUE_RECOVERY_LEASE_SECONDS": "0",
                    "QUEUE_RECOVERY_POD_NAMESPACE": namespace,
                    "QUEUE_RECOVERY_LOG_FORMAT": "console",
                    "QUEUE_RECOVERY_LOG_LEVEL": "DEBUG",
                    PRODUCER: direct,
                },
                own_store=own,
            )

    async def _own_store(self, stack: AsyncExitStack) -> JobStore:
        store = await self._sandbox.start_job_store(authentication=True)
        stack.push_async_callback(store.kill)
        return store

    async def _networks(self, stack: AsyncExitStack, database: Database) -> Networks:
        async def to(port: int, host: str = LOOPBACK) -> Proxy:
            return await stack.enter_async_context(Proxy.open(port, host))

        server: Any = urlsplit(self._access.server)
        host, port = await database.address()
        return Networks(redis=await to(self._broker.port), mongo=await to(port, host), k8s=await to(server.port))

    def _kubeconfig(self, namespace: str, network: Proxy) -> Path:
        access = Access(f"https://127.0.0.1:{network.port}", self._access.authority, self._access.token)
        return access.write_kubeconfig(self.folder / f"{namespace}.kubeconfig", namespace=namespace)
