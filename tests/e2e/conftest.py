"""The operator as its users have it: installed by its manifests, under its own ServiceAccount."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import pytest_asyncio
import yaml
from pymongo import AsyncMongoClient
from redis.asyncio import Redis

from sandbox.api import Api
from sandbox.broker import Broker
from sandbox.cluster import Sandbox
from tests import keda, rollouts
from tests.e2e.team import Team
from tests.mongodb import Database, open_database

_DATABASES = 400
_SETTINGS = {
    "TARGET_REFRESH_SECONDS": "1",
    "RETENTION_INTERVAL_SECONDS": "1",
    "LEASE_SECONDS": "8",
    "LOG_LEVEL": "DEBUG",
}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def operator(sandbox: Sandbox) -> Sandbox:
    """The sandbox with the operator in it, looking at targets each second and logging all it ever logs.

    Under the admission policy: nothing that it does needs more.
    """
    objects = list(yaml.safe_load_all(await sandbox.kubectl("kustomize", "manifests/")))
    [deployment] = [one for one in objects if one["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    container["env"] += [{"name": f"QUEUE_RECOVERY_{name}", "value": value} for name, value in _SETTINGS.items()]
    await sandbox.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(objects))
    for definition in (keda.CRD, rollouts.CRD):
        await sandbox.kubectl("apply", "-f", "-", input=json.dumps(definition))
    await sandbox.kubectl("apply", "-k", "manifests/admission")
    await sandbox.kubectl("rollout", "status", "--namespace=queue-recovery", "deployment/queue-recovery")
    return sandbox


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def broker(sandbox: Sandbox) -> Broker:
    """A broker that all teams share, each with a database of its own."""
    return await sandbox.start_broker(options=["--databases", str(_DATABASES)])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def store(sandbox: Sandbox) -> AsyncIterator[Database]:
    """A database that all teams share, each with a collection of its own."""
    async with open_database(partial(sandbox.start_job_store, authentication=True)) as opened:
        yield opened


@pytest.fixture(scope="session")
def databases() -> Iterator[int]:
    """Numbers of databases that nobody has used."""
    return iter(range(_DATABASES))


@pytest_asyncio.fixture(loop_scope="session")
async def team(
    operator: Sandbox, namespace: str, broker: Broker, store: Database, databases: Iterator[int]
) -> AsyncIterator[Team]:
    """A team whose namespace the operator may act in, with its Secrets."""
    async with open_team(operator, namespace, broker, store, databases) as team:
        yield team


@asynccontextmanager
async def open_team(
    operator: Sandbox, namespace: str, broker: Broker, store: Database, databases: Iterator[int]
) -> AsyncIterator[Team]:
    """Make a team in a namespace; of the job store the operator may use the team's collection only."""
    url = f"redis://127.0.0.1:{broker.port}/{next(databases)}"
    collection = namespace.replace("-", "_")
    mongo: AsyncMongoClient[dict[str, object]] = AsyncMongoClient(store.url)
    async with mongo, Redis.from_url(url) as redis, Api(operator.control_plane.admin) as api:
        made = Team(
            sandbox=operator,
            namespace=namespace,
            broker_url=url,
            store_url=await store.operator_url(collection),
            redis=redis,
            api=api,
            jobs=mongo[store.name][collection],
        )
        await made.let_the_operator_in()
        await made.secrets()
        yield made
