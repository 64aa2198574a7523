"""A real ServiceAccount in a namespace that has, or has not, granted its permissions to the operator."""

import json

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.permissions import Permissions, ServiceAccount, forbidden, permissions_for
from tests.sample_worker import ref
from tests.workers.fleet import RUN, Fleet, connected, manifest, note, workers_of

NEEDED = permissions_for(["redis"], [ref()])
LISTED = [
    "get configmaps/queue-recovery-ledger",
    "patch configmaps/queue-recovery-ledger",
    "create configmaps",
    "list deployments.apps",
    "watch deployments.apps",
    "list replicasets.apps",
    "watch replicasets.apps",
    "list pods",
    "watch pods",
]
ALL = ["get secrets", "get deployments.apps", "patch deployments.apps", *LISTED]


async def create_operator(fleet: Fleet) -> ServiceAccount:
    await fleet.kubectl("create", "serviceaccount", "recoverer")
    return ServiceAccount(namespace=fleet.namespace, name="recoverer")


async def grant(fleet: Fleet, *permissions: str) -> None:
    """Grant permissions, written as messages name them, to the operator in this namespace."""
    rules = []
    for permission in permissions:
        verb, _, resource = permission.partition(" ")
        resource, _, name = resource.partition("/")
        kind, _, group = resource.partition(".")
        rule = {"apiGroups": [group], "resources": [kind], "verbs": [verb]}
        rules.append(rule | ({"resourceNames": [name]} if name else {}))
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
            workers.look([ref("worker")]),
            anext(workers.follow([ref("worker")])),
            workers.scale_to_zero(seen, note(2)),
            workers.scale_back(ref("worker"), seen.uid, RUN),
        ):
            with pytest.raises(RecoveryError) as caught:
                await call
            assert caught.value.reason == Reason.FORBIDDEN
            assert caught.value.message.endswith(
                "kubectl create rolebinding queue-recovery --clusterrole=queue-recovery-tenant "
                f"--serviceaccount={fleet.namespace}:recoverer -n {fleet.namespace}"
            )
        assert await Permissions(client, fleet.namespace).missing(NEEDED) == NEEDED


async def test_what_is_missing_is_named(fleet: Fleet) -> None:
    await create_operator(fleet)
    await grant(fleet, *(right for right in ALL if right not in {"get secrets", "patch deployments.apps"}))
    kubeconfig = await fleet.sandbox.service_account_kubeconfig(fleet.namespace, "recoverer")

    async with connected(kubeconfig) as client:
        missing = await Permissions(client, fleet.namespace).missing(NEEDED)

    message = forbidden("media", ServiceAccount(), missing).message
    assert message.startswith('the operator lacks permissions in namespace "media". Grant them: kubectl create ')
    assert message.endswith(" (missing: get secrets/redis, patch deployments.apps/worker)")


async def test_of_many_permissions_that_are_missing_the_first_are_named() -> None:
    missing = permissions_for([f"secret-{n:02}" for n in range(30)], [])

    message = forbidden("media", ServiceAccount(), missing).message

    assert message.endswith("get secrets/secret-09 and 25 more)")


@pytest.mark.parametrize(
    "granted",
    [ALL, ["get secrets/redis", "get deployments.apps/worker", "patch deployments.apps/worker", *LISTED]],
    ids=["of all", "of single objects"],
)
async def test_the_permissions_of_the_tenants_role_are_all_that_is_needed(fleet: Fleet, granted: list[str]) -> None:
    account = await create_operator(fleet)
    await grant(fleet, *granted)
    await fleet.apply(manifest(replicas=1))
    kubeconfig = await fleet.sandbox.service_account_kubeconfig(fleet.namespace, "recoverer")

    async with connected(kubeconfig) as client:
        assert await Permissions(client, fleet.namespace).missing(NEEDED) == []
        fleet.workers = workers_of(client, fleet.namespace, account)
        seen = await fleet.hold()
        await fleet.drained()
        await anext(fleet.workers.follow([ref("worker")]))

        assert await fleet.workers.scale_back(ref("worker"), seen.uid, RUN) == 1


async def test_permissions_of_single_objects_are_none_of_others(fleet: Fleet) -> None:
    await create_operator(fleet)
    await grant(fleet, "get secrets/redis", "get deployments.apps/worker", "patch deployments.apps", *LISTED)
    kubeconfig = await fleet.sandbox.service_account_kubeconfig(fleet.namespace, "recoverer")

    async with connected(kubeconfig) as client:
        missing = await Permissions(client, fleet.namespace).missing(
            permissions_for(["mongo", "redis"], [ref("other"), ref()])
        )

    assert list(map(str, missing)) == ["get secrets/mongo", "get deployments.apps/other"]
