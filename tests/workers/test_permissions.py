"""A real ServiceAccount in a namespace that has, or has not, granted its rights to the operator."""

import json

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import NotYet
from queue_recovery.workers.permissions import ServiceAccount, forbidden, missing_permissions
from tests.workers.fleet import RUN, Fleet, connected, manifest, note, workers_of

ALL = [
    "get secrets",
    "get deployments.apps",
    "list deployments.apps",
    "watch deployments.apps",
    "patch deployments.apps",
    "list replicasets.apps",
    "watch replicasets.apps",
    "list pods",
    "watch pods",
]


async def create_operator(fleet: Fleet) -> ServiceAccount:
    await fleet.kubectl("create", "serviceaccount", "recoverer")
    return ServiceAccount(namespace=fleet.namespace, name="recoverer")


async def grant(fleet: Fleet, *rights: str) -> None:
    """Grant rights, written as `missing_permissions` writes them, to the operator in this namespace."""
    rules = []
    for right in rights:
        verb, _, resource = right.partition(" ")
        name, _, group = resource.partition(".")
        rules.append({"apiGroups": [group], "resources": [name], "verbs": [verb]})
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "tenant"},
        "rules": rules,
    }
    await fleet.kubectl("apply", "-f", "-", input=json.dumps(role))
    await fleet.kubectl(
        "create", "rolebinding", "tenant", "--role=tenant", f"--serviceaccount={fleet.namespace}:recoverer"
    )


async def test_without_a_role_binding_every_call_says_which_one_to_create(fleet: Fleet) -> None:
    account = await create_operator(fleet)
    await fleet.apply(manifest(replicas=0))
    seen = await fleet.look()
    kubeconfig = await fleet.sandbox.service_account_kubeconfig(fleet.namespace, "recoverer")

    async with connected(kubeconfig) as client:
        workers = workers_of(client, fleet.namespace, account)
        for call in (
            workers.look(["worker"]),
            anext(workers.follow(["worker"])),
            workers.scale_to_zero(seen, note(2)),
            workers.restore("worker", seen.uid, RUN),
        ):
            with pytest.raises(NotYet) as caught:
                await call
            assert caught.value.reason == Reason.FORBIDDEN
            assert caught.value.message.endswith(
                "kubectl create rolebinding queue-recovery --clusterrole=queue-recovery-tenant "
                f"--serviceaccount={fleet.namespace}:recoverer -n {fleet.namespace}"
            )
        assert await missing_permissions(client, fleet.namespace) == ALL


async def test_what_is_missing_is_named(fleet: Fleet) -> None:
    await create_operator(fleet)
    await grant(fleet, *(right for right in ALL if right not in {"get secrets", "patch deployments.apps"}))
    kubeconfig = await fleet.sandbox.service_account_kubeconfig(fleet.namespace, "recoverer")

    async with connected(kubeconfig) as client:
        missing = await missing_permissions(client, fleet.namespace)

    assert missing == ["get secrets", "patch deployments.apps"]
    assert "may not get secrets, patch deployments.apps in" in forbidden("media", ServiceAccount(), missing).message


async def test_the_rights_of_the_tenants_role_are_all_that_is_needed(fleet: Fleet) -> None:
    account = await create_operator(fleet)
    await grant(fleet, *ALL)
    await fleet.apply(manifest(replicas=1))
    kubeconfig = await fleet.sandbox.service_account_kubeconfig(fleet.namespace, "recoverer")

    async with connected(kubeconfig) as client:
        assert await missing_permissions(client, fleet.namespace) == []
        fleet.workers = workers_of(client, fleet.namespace, account)
        seen = await fleet.hold()
        await fleet.drained()
        await anext(fleet.workers.follow(["worker"]))

        assert await fleet.workers.restore("worker", seen.uid, RUN) == 1
