"""Who may do what, asked of the API server's own authorizer."""

from collections.abc import Mapping

import pytest
import yaml
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.worker_ref import WorkerRef
from queue_recovery.workers.permissions import Permissions, permissions_for
from sandbox.processes import ROOT
from tests.manifests.conftest import Cluster

OPERATOR = "queue-recovery:queue-recovery"
EVERYWHERE = {
    "queuerecovery.dev/queuerecoveries: get list patch watch",
    "queuerecovery.dev/queuerecoveries/status: patch",
    "queuerecovery.dev/queuetargets: get list watch",
    "queuerecovery.dev/queuetargets/status: patch",
    "/namespaces kube-system: get",
    "admissionregistration.k8s.io/validatingadmissionpolicies queue-recovery-approvals: get",
    "admissionregistration.k8s.io/validatingadmissionpolicybindings queue-recovery-approvals: get",
    "events.k8s.io/events: create patch",
}
TENANT = {
    "/secrets: get",
    "apps/deployments: get list patch watch",
    "apps/statefulsets: get list patch watch",
    "apps/replicasets: list watch",
    "/pods: list watch",
    "/configmaps: create",
    "/configmaps queue-recovery-ledger: get patch",
}
PROPOSALS = {"queuerecovery.dev/queuerecoveries: create", "queuerecovery.dev/queuetargets: use"}
"""What only targets with `policy.propose` need."""
AUTOSCALERS = {"autoscaling/horizontalpodautoscalers: list"}
"""What is granted and not required: without it a drain notices what scales the workers up."""
LEASE = {
    "coordination.k8s.io/leases: create",
    "coordination.k8s.io/leases queue-recovery: get update",
}


def permissions(cluster: Cluster, account: str, namespace: str) -> set[str]:
    """Return all that a ServiceAccount may do in a namespace, but for asking what it may do."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    answer = cluster.kubectl(
        "create", "-f", "-", "--validate=false", "--output=yaml", f"--as=system:serviceaccount:{account}", given=review
    )
    return {
        f"{group}/{' '.join([resource, *rule.get('resourceNames', ())])}: {' '.join(sorted(rule['verbs']))}"
        for rule in yaml.safe_load(answer)["status"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        if not resource.startswith("selfsubject")
    }


def may(cluster: Cluster, account: str, verb: str, resource: str, namespace: str) -> bool:
    """Ask whether a ServiceAccount may do one thing; a resource may be `pods/exec`."""
    name, _, subresource = resource.partition("/")
    answer = cluster.answer(
        "auth",
        "can-i",
        verb,
        name,
        f"--subresource={subresource}",
        f"--namespace={namespace}",
        f"--as=system:serviceaccount:{account}",
    )
    return answer == "yes"


def test_where_nobody_has_bound_its_role_the_operator_has_its_own_resources_and_events_only(
    cluster: Cluster, namespace: str
) -> None:
    assert permissions(cluster, OPERATOR, namespace) == EVERYWHERE


def test_in_its_own_namespace_it_has_one_lease_besides(cluster: Cluster) -> None:
    assert permissions(cluster, OPERATOR, "queue-recovery") == EVERYWHERE | LEASE


def test_a_namespace_grants_what_a_recovery_needs_and_for_itself_alone(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", f"--namespace={namespace}", "-k", "manifests/tenant")

    assert permissions(cluster, OPERATOR, namespace) == EVERYWHERE | TENANT | AUTOSCALERS | PROPOSALS
    assert permissions(cluster, OPERATOR, "default") == EVERYWHERE


def test_scaled_objects_are_granted_apart(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", f"--namespace={namespace}", "-k", "manifests/keda")

    assert permissions(cluster, OPERATOR, namespace) == EVERYWHERE | {"keda.sh/scaledobjects: get list patch"}


def test_rollouts_are_granted_apart(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("apply", f"--namespace={namespace}", "-k", "manifests/rollouts")

    assert permissions(cluster, OPERATOR, namespace) == EVERYWHERE | {"argoproj.io/rollouts: get list patch watch"}


def test_the_documented_role_of_another_kind_is_what_that_kind_needs(cluster: Cluster, namespace: str) -> None:
    page = (ROOT / "docs" / "gitops.md").read_text().partition("## Other kinds")[2]
    for one in yaml.safe_load_all(page.partition("```yaml")[2].partition("```")[0]):
        cluster.kubectl(
            "apply", f"--namespace={namespace}", "-f-", given={**one, "metadata": {"name": one["metadata"]["name"]}}
        )
    clone_set = WorkerRef(api_version="apps.kruise.io/v1alpha1", kind="CloneSet", name="tts-worker")
    needed = permissions_for([], [clone_set], {clone_set.gvk: "clonesets"})

    verbs: dict[str, set[str]] = {}
    for one in needed:
        if one.group == clone_set.gvk.group:
            verbs.setdefault(f"{one.group}/{one.resource}", set()).add(one.verb)

    assert permissions(cluster, OPERATOR, namespace) - EVERYWHERE == {
        f"{resource}: {' '.join(sorted(names))}" for resource, names in verbs.items()
    }


async def test_the_operator_sees_for_itself_whether_its_role_is_bound(cluster: Cluster, namespace: str) -> None:
    token = cluster.kubectl("create", "token", "queue-recovery", "--namespace=queue-recovery").strip()
    configuration = Configuration(host=cluster.plane.admin.server)
    configuration.ssl_ca_cert = str(cluster.plane.admin.authority)
    configuration.api_key = {"authorization": f"Bearer {token}"}
    async with ApiClient(configuration) as api:
        needed = permissions_for(["redis"], [WorkerRef(name="worker"), WorkerRef(kind="StatefulSet", name="worker")])
        before = await Permissions(api, namespace).missing(needed)
        cluster.kubectl("apply", f"--namespace={namespace}", "-k", "manifests/tenant")
        after = await Permissions(api, namespace).missing(needed)

    names = {(group, *rest.split(": ")) for group, _, rest in (row.partition("/") for row in TENANT)}
    assert {str(permission).partition("/")[0] for permission in before} == {
        f"{verb} {resource.partition(' ')[0]}{'.' if group else ''}{group}"
        for group, resource, verbs in names
        for verb in verbs.split()
    }
    assert after == []


@pytest.mark.thorough  # all that it may is listed above
@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("list", "secrets"),
        ("get", "configmaps"),
        ("patch", "configmaps"),
        ("delete", "deployments.apps"),
        ("create", "deployments.apps"),
        ("patch", "daemonsets.apps"),
        ("delete", "pods"),
        ("create", "pods/exec"),
        ("delete", "queuerecoveries.queuerecovery.dev"),
        ("patch", "queuetargets.queuerecovery.dev"),
        ("get", "customresourcedefinitions.apiextensions.k8s.io"),
        ("list", "namespaces"),
    ],
)
def test_even_where_its_role_is_bound_the_operator_may_not(
    cluster: Cluster, bound_namespace: str, verb: str, resource: str
) -> None:
    assert not may(cluster, OPERATOR, verb, resource, bound_namespace)


@pytest.fixture(scope="module")
def bound_namespace(cluster: Cluster) -> str:
    """A namespace that has bound the operator's role."""
    cluster.kubectl("create", "namespace", "bound")
    cluster.kubectl("apply", "--namespace=bound", "-k", "manifests/tenant")
    return "bound"


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> str:
    """A namespace with a member for each standard role, called like it."""
    cluster.kubectl("create", "namespace", "members")
    for role in ("view", "edit", "admin"):
        cluster.kubectl("create", "serviceaccount", role, "--namespace=members")
        cluster.kubectl(
            "create",
            "rolebinding",
            role,
            f"--clusterrole={role}",
            f"--serviceaccount=members:{role}",
            "--namespace=members",
        )
    return "members"


@pytest.fixture(scope="module")
def members(cluster: Cluster, team: str) -> Mapping[str, set[str]]:
    """What each of them may do there."""
    return {role: permissions(cluster, f"{team}:{role}", team) for role in ("view", "edit", "admin")}


@pytest.mark.parametrize(
    ("resource", "verb", "who"),
    [
        ("queuerecoveries", "get", "view edit admin"),
        ("queuerecoveries", "watch", "view edit admin"),
        ("queuerecoveries", "create", "edit admin"),
        ("queuerecoveries", "patch", "edit admin"),
        ("queuerecoveries", "delete", "edit admin"),
        ("queuerecoveries/status", "patch", ""),
        ("queuetargets", "list", "view edit admin"),
        ("queuetargets", "create", "admin"),
        ("queuetargets", "patch", "admin"),
        ("queuetargets", "delete", "admin"),
        ("queuetargets/status", "patch", ""),
        ("queuetargets", "use", "edit admin"),
        ("queuetargets", "approve", ""),
    ],
)
def test_the_standard_roles_say_who_may_write_recoveries_and_who_targets(
    members: Mapping[str, set[str]], resource: str, verb: str, who: str
) -> None:
    beginning = f"queuerecovery.dev/{resource}: "
    granted = {
        role: {verb for rule in rules if rule.startswith(beginning) for verb in rule.removeprefix(beginning).split()}
        for role, rules in members.items()
    }

    assert " ".join(role for role, verbs in granted.items() if verb in verbs) == who


def test_the_admin_of_a_namespace_can_let_the_operator_in_and_an_editor_cannot(cluster: Cluster, team: str) -> None:
    applying = ("apply", f"--namespace={team}", "-k", "manifests/tenant")

    assert "forbidden" in cluster.refusal(*applying, f"--as=system:serviceaccount:{team}:edit")
    assert "created" in cluster.kubectl(*applying, f"--as=system:serviceaccount:{team}:admin")


def test_an_editor_can_apply_a_recovery_and_cancel_it(cluster: Cluster, team: str, name: str) -> None:
    made = {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueRecovery",
        "metadata": {"name": name, "namespace": team},
        "spec": {"targetRef": {"name": "media"}, "queue": "tts", "jobs": []},
    }
    editor = f"--as=system:serviceaccount:{team}:edit"
    cancel = ("--type=merge", '--patch={"spec": {"cancel": true}}')

    assert "created" in cluster.kubectl("apply", "-f", "-", editor, given=made)
    assert "patched" in cluster.kubectl("patch", "queuerecovery", name, f"--namespace={team}", *cancel, editor)
