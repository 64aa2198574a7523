"""The operator while its CustomResourceDefinitions are missing, in a cluster of its own: others' tests need them."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest_asyncio

from queue_recovery.controller.api_server import GRACE
from sandbox.api import Api
from sandbox.cluster import KubectlError, Sandbox
from sandbox.processes import Scope, until
from tests.controller.replicas import Replica, Replicas

EVERYWHERE = {"QUEUE_RECOVERY_NAMESPACES": ""}
ONE_NAMESPACE: dict[str, str] = {}
LONG = GRACE + 15


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bare() -> AsyncIterator[Sandbox]:
    async with Sandbox.start() as sandbox:
        yield sandbox


@pytest_asyncio.fixture(loop_scope="session")
async def replicas(bare: Sandbox) -> AsyncIterator[Replicas]:
    async with bare.namespace() as namespace, Api(bare.control_plane.admin) as api, Scope.open() as scope:
        yield Replicas(bare, namespace, api, scope)
        await bare.kubectl("delete", "-k", "crds/", "--ignore-not-found", "--timeout=30s")


async def start(replicas: Replicas, environment: Mapping[str, str]) -> Replica:
    """Start one with the permissions for its mode, and wait until it leads."""
    if environment is EVERYWHERE:
        account = f"--serviceaccount={replicas.namespace}:first"
        await replicas.sandbox.kubectl(
            "create", "clusterrolebinding", replicas.namespace, "--clusterrole=cluster-admin", account
        )
    first = await replicas.start("first", environment=environment)
    await replicas.led_by(first)
    return first


async def create(replicas: Replicas, *arguments: str) -> None:
    await replicas.sandbox.kubectl("apply", *(arguments or ("-k", "crds/")))


async def served(replicas: Replicas, name: str) -> None:
    """Create a recovery and wait until the operator has taken it up."""

    async def created() -> bool:
        try:
            await replicas.recovery(name)
        except KubectlError:
            return False
        return True

    await until(created, "the API server to serve the kind")
    await until(lambda: replicas.phase(name), "the operator to take the recovery up")


async def test_it_waits_for_definitions_that_come_late_unready_and_says_so_once(replicas: Replicas) -> None:
    first = await start(replicas, ONE_NAMESPACE)
    await until(first.unready, "it to be unready", of=first.process)

    async def lasting() -> bool:
        return "kubectl apply -k crds/" in await first.waits_for()

    async def half() -> bool:
        return "queuetargets" in await replicas.sandbox.kubectl("api-resources", "--api-group=queuerecovery.dev")

    await until(lasting, "it to say what to do", seconds=LONG, of=first.process)
    await create(replicas, "-f", "crds/queuetargets.yaml")
    await until(half, "the API server to serve one of the two")
    assert await first.unready()
    await create(replicas)
    await until(first.ready, "it to be ready", of=first.process)
    await served(replicas, "lonely")
    assert len(first.log("does not serve them yet")) == 1
    assert len(first.log("kubectl apply -k crds/")) == 1
    assert len(first.log('"watching queuerecoveries')) == 1
    assert (await replicas.lease())["leaseTransitions"] == 0


async def test_it_is_unready_while_its_definitions_are_deleted_and_goes_on_when_they_are_back(
    replicas: Replicas,
) -> None:
    await create(replicas)
    first = await start(replicas, EVERYWHERE)
    await until(first.ready, "it to be ready", of=first.process)
    await served(replicas, "before")

    async def active() -> bool:
        return "queue_recovery_active 1.0" in await first.get("/metrics")

    await until(active, "the recovery to be counted", of=first.process)
    await replicas.sandbox.kubectl("delete", "-k", "crds/", "--timeout=30s")
    deleted = datetime.now(UTC)

    async def idle() -> bool:
        return "queue_recovery_active 0.0" in await first.get("/metrics")

    await until(idle, "the recovery's task to end", of=first.process)
    await until(first.unready, "it to be unready", seconds=LONG, of=first.process)
    assert "kubectl apply -k crds/" in await first.waits_for()
    asked = [
        event
        for event in replicas.sandbox.audit()
        if event["user"].get("username") == first.user
        and "queuerecovery.dev" in event["requestURI"]
        and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= deleted
    ]
    assert 2 < len(asked) < 2 * (datetime.now(UTC) - deleted) / timedelta(seconds=1)
    await create(replicas)
    await until(first.ready, "it to be ready again", of=first.process)
    await served(replicas, "after")
    assert (await replicas.lease())["leaseTransitions"] == 0


async def test_definitions_that_are_replaced_at_once_are_served(replicas: Replicas) -> None:
    await create(replicas)
    first = await start(replicas, ONE_NAMESPACE)
    await until(first.ready, "it to be ready", of=first.process)
    await served(replicas, "before")
    await replicas.sandbox.kubectl("delete", "-k", "crds/", "--timeout=30s")
    await create(replicas)
    await served(replicas, "after")
    await until(first.ready, "it to be ready again", of=first.process)
    assert (await replicas.lease())["leaseTransitions"] == 0
