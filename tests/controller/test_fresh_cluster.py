"""The operator while its CustomResourceDefinitions are missing, and with no more permissions than it needs.

In a cluster of its own: others' tests need the definitions, and bind permissions.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from sandbox.api import Api, ApiError
from sandbox.cluster import Sandbox
from sandbox.processes import Scope, until
from tests.controller.replicas import ALONE, IMPATIENT, Replica, Replicas

pytestmark = pytest.mark.thorough

ROLES = ("queue-recovery", "queue-recovery-tenant")
"""The ClusterRoles that are bound in a namespace for an operator of named namespaces."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bare() -> AsyncIterator[Sandbox]:
    async with Sandbox.start() as sandbox:
        yield sandbox


@asynccontextmanager
async def replicas_in(bare: Sandbox) -> AsyncIterator[Replicas]:
    async with bare.namespace() as namespace, Api(bare.control_plane.admin) as api, Scope.open() as scope:
        yield Replicas(bare, namespace, api, scope)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mine(bare: Sandbox) -> AsyncIterator[Replicas]:
    async with replicas_in(bare) as replicas:
        yield replicas


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def first(bare: Sandbox, mine: Replicas) -> Replica:
    """One that watches one namespace, where all that it may do is bound."""
    await bare.kubectl("create", "namespace", "queue-recovery")
    await bare.kubectl("apply", "-f", "manifests/operator/rbac.yaml", "-f", "manifests/operator/tenant_role.yaml")
    for role in ROLES:
        await mine.allow("first", role=role)
    first = await mine.start("first", program=IMPATIENT, allowed=False, environment=ALONE)
    await until(first.unready, "it to be unready", of=first.process)
    return first


async def create(bare: Sandbox, *arguments: str) -> None:
    await bare.kubectl("apply", *(arguments or ("-k", "crds/")))


async def delete(bare: Sandbox) -> None:
    await bare.kubectl("delete", "-k", "crds/", "--ignore-not-found", "--timeout=30s")


async def served(replicas: Replicas, name: str) -> None:
    """Create a recovery and wait until the operator has taken it up."""

    async def created() -> bool:
        try:
            await replicas.recovery(name)
        except ApiError:
            return False
        return True

    await until(created, "the API server to serve the kind")
    await replicas.taken_up(name)


async def test_it_waits_for_definitions_that_come_late_unready_and_says_so_once(
    bare: Sandbox, mine: Replicas, first: Replica
) -> None:
    async def lasting() -> bool:
        what = "kubectl apply -k crds/"
        return what in await first.waits_for() and bool(first.log(what))  # it is logged with the next request

    async def half() -> bool:
        return "queuetargets" in await bare.kubectl("api-resources", "--api-group=queuerecovery.dev")

    await until(lasting, "it to say what to do", of=first.process)
    await create(bare, "-f", "crds/queuetargets.yaml")
    await until(half, "the API server to serve one of the two")
    assert await first.unready()
    await create(bare)
    await until(first.ready, "it to be ready", of=first.process)
    await served(mine, "late")
    assert len(first.log("does not serve them yet")) == 1
    assert len(first.log("kubectl apply -k crds/")) == 1
    assert len(first.log('"watching queuerecoveries')) == 1


async def test_one_of_named_namespaces_needs_no_permission_elsewhere(
    bare: Sandbox, mine: Replicas, first: Replica
) -> None:
    await create(bare)
    await until(first.ready, "it to be ready", of=first.process)
    async with replicas_in(bare) as others:
        await others.recovery("lonely")
        await served(mine, "lonely")
        assert await others.phase("lonely") is None
    await bare.kubectl("-n", mine.namespace, "delete", "qr", "lonely", "--timeout=20s")


async def test_definitions_that_are_replaced_at_once_are_served(bare: Sandbox, mine: Replicas, first: Replica) -> None:
    await create(bare)
    await until(first.ready, "it to be ready", of=first.process)
    await served(mine, "before")
    await delete(bare)
    await create(bare)
    await served(mine, "after")
    await until(first.ready, "it to be ready again", of=first.process)


async def test_one_of_all_namespaces_is_unready_while_its_definitions_are_deleted_and_goes_on_when_they_are_back(
    bare: Sandbox,
) -> None:
    await create(bare)
    async with replicas_in(bare) as replicas:
        account = f"--serviceaccount={replicas.namespace}:second"
        await bare.kubectl("create", "clusterrolebinding", "everywhere", "--clusterrole=cluster-admin", account)
        everywhere = {**ALONE, "QUEUE_RECOVERY_NAMESPACES": ""}
        second = await replicas.start("second", program=IMPATIENT, environment=everywhere)
        await until(second.ready, "it to be ready", of=second.process)
        await served(replicas, "before")

        async def active() -> bool:
            return "queue_recovery_active 0.0" not in await second.get("/metrics")

        async def idle() -> bool:
            return "queue_recovery_active 0.0" in await second.get("/metrics")

        await until(active, "the recovery to be counted", of=second.process)
        await delete(bare)
        deleted = datetime.now(UTC)
        await until(idle, "the recovery's task to end", of=second.process)
        await until(second.unready, "it to be unready", of=second.process)

        async def told() -> bool:
            return "kubectl apply -k crds/" in await second.waits_for()

        await until(told, "it to say what to do", of=second.process)
        asked = [
            event
            for event in bare.audit()
            if event["user"].get("username") == second.user
            and "queuerecovery.dev" in event["requestURI"]
            and datetime.fromisoformat(event["requestReceivedTimestamp"]) >= deleted
        ]
        # Its pauses grow from half a second to four; one request right after the other would be hundreds.
        assert 2 < len(asked) < 20 + (datetime.now(UTC) - deleted) / timedelta(seconds=1)
        await create(bare)
        await until(second.ready, "it to be ready again", of=second.process)
        await served(replicas, "after")
