"""Who may name a target in a recovery, and who may approve one: asked with ServiceAccounts, under the policies."""

import shlex
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.stuck import StuckSpec
from queue_recovery.controller.author_guard import IN_FORCE_WITHIN, is_author_guarded
from queue_recovery.controller.proposal_writer import KubernetesProposalWriter, proposal_body
from queue_recovery.diagnosis.evidence import MessageFacts
from queue_recovery.diagnosis.proposal import proposed
from queue_recovery.diagnosis.stuck import ORDER
from queue_recovery.diagnosis.stuck_rules import Finding
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.permissions import ServiceAccount
from sandbox.processes import until
from tests import readme
from tests.manifests.conftest import Cluster, Refused

NAMESPACE = "approvals"
DIGEST, ANOTHER = "9f86d081884c7d659a2feaa0c55ad015", "0" * 32
APPROVE, APPROVER, AUTHOR = (f"queuerecovery.dev/{name}" for name in ("approve", "approver", "author"))
_PATIENCE = 60.0
"""Seconds until the API server has to hold policies that were just applied."""

Body = dict[str, Any]


def user(name: str) -> str:
    return f"system:serviceaccount:{NAMESPACE}:{name}"


def as_(name: str) -> str:
    return f"--as={user(name)}"


def recovery(name: str, target: str = "media", **annotations: str) -> Body:
    named = {f"queuerecovery.dev/{key}": value for key, value in annotations.items()}
    return {
        "apiVersion": "queuerecovery.dev/v1alpha1",
        "kind": "QueueRecovery",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": named},
        "spec": {"targetRef": {"name": target}, "queue": "tts", "jobs": []},
    }


def role(name: str, *rules: Body) -> Body:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata, "rules": rules}


def on_targets(*verbs: str, **limits: object) -> Body:
    return {"apiGroups": ["queuerecovery.dev"], "resources": ["queuetargets"], "verbs": verbs, **limits}


ON_RECOVERIES: Body = {
    "apiGroups": ["queuerecovery.dev"],
    "resources": ["queuerecoveries", "queuerecoveries/status"],
    "verbs": ["get", "create", "update", "patch"],
}


def is_in_force(cluster: Cluster) -> bool:
    """Tell whether both policies refuse; each is asked alone, because a refusal names only one of them."""
    create = ("create", "--dry-run=server", "-f", "-")
    return "queue-recovery-use" in refusal(cluster, *create, as_("nobody"), given=recovery("x")) and (
        "queue-recovery-approvals" in refusal(cluster, *create, as_("editor"), given=recovery("x", author="x"))
    )


def refusal(cluster: Cluster, *arguments: str, given: object) -> str:
    """Return what the API server says if it refuses; empty: it does not."""
    try:
        cluster.kubectl(*arguments, given=given)
    except Refused as refused:
        return str(refused)
    return ""


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Iterator[Cluster]:
    """A namespace under the policies with an editor, an approver, one of a single target, and one without any verb."""
    cluster.kubectl("create", "namespace", NAMESPACE)
    one_target = role("one-target", ON_RECOVERIES, on_targets("use", "approve", resourceNames=["media"]))
    for made in (one_target, role("no-verb", ON_RECOVERIES)):
        cluster.kubectl("apply", "-f", "-", given=made)
    roles = {
        "editor": "clusterrole=edit",
        "approver": "clusterrole=queue-recovery-approver",
        "media-only": "role=one-target",
        "nobody": "role=no-verb",
    }
    for name, kind in roles.items():
        account = f"--serviceaccount={NAMESPACE}:{name}"
        cluster.kubectl("create", "serviceaccount", name, f"--namespace={NAMESPACE}")
        cluster.kubectl("create", "rolebinding", name, f"--{kind}", account, f"--namespace={NAMESPACE}")
    cluster.kubectl("apply", "-k", "manifests/admission")
    deadline = time.monotonic() + _PATIENCE
    while not is_in_force(cluster):
        assert time.monotonic() < deadline, "the policies do not come into force"
    yield cluster
    cluster.kubectl("delete", "-k", "manifests/admission")
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def made(guarded: Cluster, name: str, **annotations: str) -> list[str]:
    """Create a recovery as its editor, and return the arguments of kubectl that annotate it."""
    guarded.kubectl("create", "-f", "-", as_("editor"), given=recovery(name, **annotations))
    return ["annotate", "qr", name, f"--namespace={NAMESPACE}", "--overwrite"]


@pytest.mark.parametrize(
    ("who", "target", "allowed"),
    [
        ("editor", "media", True),
        ("media-only", "media", True),
        ("media-only", "other", False),
        ("nobody", "media", False),
    ],
)
def test_a_target_is_named_by_those_who_may_use_it(
    guarded: Cluster, name: str, who: str, target: str, *, allowed: bool
) -> None:
    for command in ("create", "apply"):
        arguments = [command, "-f", "-", "--dry-run=server", as_(who)]
        if allowed:
            assert "created" in guarded.kubectl(*arguments, given=recovery(name, target))
        else:
            said = guarded.refusal(*arguments, given=recovery(name, target))
            assert f'"{user(who)}" may not use QueueTarget "{target}"' in said


def test_a_restore_names_a_target_too(guarded: Cluster, name: str) -> None:
    restore = recovery(name)
    restore["spec"] = {"targetRef": {"name": "media"}, "queue": "tts", "restoreFrom": {"name": "earlier"}}

    assert "may not use" in guarded.refusal("create", "-f", "-", as_("nobody"), given=restore)


def test_a_recovery_that_is_there_may_be_changed_without_the_right_to_use_its_target(
    guarded: Cluster, name: str
) -> None:
    made(guarded, name)
    change = ("patch", "qr", name, f"--namespace={NAMESPACE}", "--type=merge", '--patch={"spec":{"cancel":true}}')

    assert "patched" in guarded.kubectl(*change, as_("nobody"))


def test_a_suspended_recovery_is_started_by_those_who_may_use_its_target(guarded: Cluster, name: str) -> None:
    suspended = recovery(name)
    suspended["spec"]["suspend"] = True
    guarded.kubectl("create", "-f", "-", as_("editor"), given=suspended)
    start = ["patch", "qr", name, f"--namespace={NAMESPACE}", "--type=merge", '--patch={"spec":{"suspend":false}}']
    started = recovery(name)
    started["spec"]["suspend"] = False

    for arguments, given in ((start, None), (["apply", "-f", "-"], started), (["replace", "-f", "-"], started)):
        said = guarded.refusal(*arguments, as_("nobody"), given=given)
        assert f'"{user("nobody")}" may not use QueueTarget "media"' in said
    left_out = recovery(name)
    assert "may not use" in guarded.refusal("replace", "-f", "-", as_("nobody"), given=left_out)
    annotate = ("annotate", "qr", name, f"--namespace={NAMESPACE}", "team=media", as_("nobody"))
    assert "annotated" in guarded.kubectl(*annotate)

    assert "patched" in guarded.kubectl(*start, as_("media-only"))
    suspend = [*start[:-1], '--patch={"spec":{"suspend":true}}']
    assert "patched" in guarded.kubectl(*suspend, as_("nobody"))


SEEN = MessageFacts(task_id="a", task="tts.render", retries=0, redelivered=True, sent_by=None)
CAUSES = [
    Finding(reason=reason, seen="seen", advice="", tasks=["tts.render"], messages=[SEEN])
    for reason in ORDER
    if reason not in {Reason.HOARDED_MESSAGES, Reason.RISING_DEPTH}
]


async def test_the_operator_proposes_a_recovery_for_each_cause_where_its_role_is_bound(
    guarded: Cluster, name: str
) -> None:
    namespace = f"{name}-proposals"
    guarded.kubectl("create", "namespace", namespace)
    account = ServiceAccount()
    bodies = []
    for number, cause in enumerate(CAUSES):
        spec = proposed(cause, StuckSpec(), target="media", queue="tts")
        assert spec is not None
        made = proposal_body(f"{name}-{number}", spec, cause=cause.reason, evidence=cause.seen, account=account)
        bodies.append(made)
    async with connection(guarded, account.name, account.namespace) as api:
        writer = KubernetesProposalWriter(api, account)
        with pytest.raises(RecoveryError) as refused:
            await writer.create(namespace, bodies[0])
        assert refused.value.reason == Reason.PROPOSAL_REFUSED
        assert f"--clusterrole=queue-recovery-tenant --serviceaccount=queue-recovery:queue-recovery -n {namespace}" in (
            refused.value.message
        )
        assert 'cannot create resource "queuerecoveries"' in refused.value.message

        guarded.kubectl("apply", f"--namespace={namespace}", "-k", "manifests/tenant")

        async def is_granted() -> bool:
            return (
                guarded.answer("auth", "can-i", "use", "queuetargets", f"-n={namespace}", f"--as={account.user}")
                == "yes"
            )

        await until(is_granted, "the role to be bound")
        assert [await writer.create(namespace, body) for body in bodies] == [True] * len(CAUSES)
        assert [await writer.create(namespace, body) for body in bodies] == [False] * len(CAUSES)
        found = [await writer.read(namespace, body["metadata"]["name"]) for body in bodies]
        assert await writer.read(namespace, "another") is None

    assert len(found) == 5
    for body, stored in zip(bodies, found, strict=True):
        assert stored is not None
        assert stored["spec"]["suspend"] is True
        assert stored["metadata"]["annotations"] == body["metadata"]["annotations"]
        assert stored["metadata"]["labels"] == body["metadata"]["labels"]
        wanted = QueueRecoverySpec.model_validate(body["spec"]).fixed_fields()
        assert QueueRecoverySpec.model_validate(stored["spec"]).fixed_fields() == wanted


def test_it_is_approved_by_those_who_may_approve_and_by_nobody_else(guarded: Cluster, name: str) -> None:
    annotate = made(guarded, name)

    for who in ("editor", "nobody"):
        said = guarded.refusal(*annotate, f"{APPROVE}={DIGEST}", as_(who))
        assert f'"{user(who)}" may not approve recoveries of QueueTarget "media"' in said
    for who, digest in {"approver": DIGEST, "media-only": ANOTHER}.items():
        guarded.kubectl(*annotate, f"{APPROVE}={digest}", as_(who))
    assert "may not approve" in guarded.refusal(*annotate, f"{APPROVE}={DIGEST}", as_("editor"))


def test_nobody_else_approves_by_another_way(guarded: Cluster, name: str) -> None:
    made(guarded, name)
    approved = recovery(name, approve=DIGEST)
    patch = f'--patch={{"metadata":{{"annotations":{{"{APPROVE}":"{DIGEST}"}}}}}}'
    change = ["patch", "qr", name, f"--namespace={NAMESPACE}", "--type=merge", patch]

    for arguments in (
        ["apply", "-f", "-", "--server-side", "--force-conflicts"],
        ["apply", "-f", "-"],
        ["replace", "-f", "-"],
        ["create", "-f", "-"],
    ):
        given = recovery(f"{name}-new", approve=DIGEST) if arguments[0] == "create" else approved
        assert "may not approve" in guarded.refusal(*arguments, as_("editor"), given=given)
    assert "may not approve" in guarded.refusal(*change, as_("nobody"))

    guarded.answer(*change, "--subresource=status", as_("nobody"))

    assert APPROVE not in guarded.read("qr", name, f"--namespace={NAMESPACE}")["metadata"].get("annotations", {})


def test_what_is_approved_may_be_edited_and_the_approval_taken_back_by_those_who_may_not_approve(
    guarded: Cluster, name: str
) -> None:
    annotate = made(guarded, name)
    guarded.kubectl(*annotate, f"{APPROVE}={DIGEST}", f"{APPROVER}={user('approver')}", as_("approver"))

    guarded.kubectl(*annotate, "team=media", as_("editor"))
    guarded.kubectl("apply", "-f", "-", as_("editor"), given=recovery(name))
    annotations = guarded.read("qr", name, f"--namespace={NAMESPACE}")["metadata"]["annotations"]
    assert annotations[APPROVE] == DIGEST

    guarded.kubectl(*annotate, f"{APPROVE}-", as_("editor"))


def test_an_approver_gives_his_own_name_and_no_other(guarded: Cluster, name: str) -> None:
    annotate = made(guarded, name)

    said = guarded.refusal(*annotate, f"{APPROVE}={DIGEST}", f"{APPROVER}={user('media-only')}", as_("approver"))
    assert f'has to be your own user name, "{user("approver")}"' in said
    guarded.kubectl(*annotate, f"{APPROVE}={DIGEST}", f"{APPROVER}={user('approver')}", as_("approver"))
    again = guarded.refusal(*annotate, f"{APPROVE}={ANOTHER}", as_("media-only"))
    assert f'has to be your own user name, "{user("media-only")}"' in again
    assert "may not approve" in guarded.refusal(*annotate, f"{APPROVER}={user('editor')}", as_("editor"))


def test_an_author_gives_his_own_name_at_the_creation_and_nobody_changes_it(guarded: Cluster, name: str) -> None:
    forged = recovery(name, author=user("approver"))
    said = guarded.refusal("create", "-f", "-", as_("editor"), given=forged)
    assert f'has to be your own user name, "{user("editor")}"' in said
    annotate = made(guarded, name, author=user("editor"))

    for change in (f"{AUTHOR}={user('approver')}", f"{AUTHOR}-"):
        for who in ("editor", "approver"):
            assert "cannot be added, changed or removed" in guarded.refusal(*annotate, change, as_(who))
    unnamed = made(guarded, f"{name}-unnamed")
    assert "cannot be added" in guarded.refusal(*unnamed, f"{AUTHOR}={user('editor')}", as_("editor"))


def test_the_operators_own_writes_pass(guarded: Cluster, name: str) -> None:
    annotate = made(guarded, name, author=user("editor"))
    guarded.kubectl(*annotate, f"{APPROVE}={DIGEST}", as_("approver"))
    operator = "--as=system:serviceaccount:queue-recovery:queue-recovery"
    finalizer = '--patch={"metadata":{"finalizers":["queuerecovery.dev/active"]}}'
    patch = ["patch", "qr", name, f"--namespace={NAMESPACE}", "--type=merge", operator]

    assert "patched" in guarded.kubectl(*patch, finalizer)
    assert "patched" in guarded.kubectl(*patch, '--patch={"metadata":{"finalizers":null}}')


def test_the_pages_command_makes_a_group_the_approvers(guarded: Cluster, name: str) -> None:
    annotate = made(guarded, name)
    member = ("--as=somebody", "--as-group=media-leads")
    assert "forbidden" in guarded.refusal(*annotate, f"{APPROVE}={DIGEST}", *member)

    [command] = readme.commands("Who may use a target, and who may approve", "docs/security.md")
    guarded.kubectl(*shlex.split(command.replace("-n media", f"-n {NAMESPACE}"))[1:])

    assert "annotated" in guarded.kubectl(*annotate, f"{APPROVE}={DIGEST}", *member)


def connection(guarded: Cluster, account: str, namespace: str) -> ApiClient:
    """Return a connection with the identity of a ServiceAccount."""
    configuration = Configuration(host=guarded.plane.admin.server)
    configuration.ssl_ca_cert = str(guarded.plane.admin.authority)
    token = guarded.kubectl("create", "token", account, f"--namespace={namespace}").strip()
    configuration.api_key = {"authorization": f"Bearer {token}"}
    return ApiClient(configuration)


async def test_an_operator_that_may_not_read_the_binding_says_so_and_what_it_needs(guarded: Cluster, name: str) -> None:
    made(guarded, name, author=user("editor"))
    uid = guarded.read("qr", name, f"--namespace={NAMESPACE}")["metadata"]["uid"]
    async with connection(guarded, "editor", NAMESPACE) as api:
        with pytest.raises(RecoveryError) as caught:
            await is_author_guarded(api, NAMESPACE, name, uid, created=datetime.now(UTC))

    assert caught.value.reason == Reason.FORBIDDEN
    assert "the operator may not read whether the policies of manifests/admission are in force" in caught.value.message
    assert "get on validatingadmissionpolicies and validatingadmissionpolicybindings" in caught.value.message


async def test_the_operator_takes_the_author_as_proven_only_while_and_since_the_policy_is_in_force(
    guarded: Cluster, name: str
) -> None:
    made(guarded, name, author=user("editor"))
    uid = guarded.read("qr", name, f"--namespace={NAMESPACE}")["metadata"]["uid"]
    binding = ("validatingadmissionpolicybinding", "queue-recovery-approvals")
    policy = ("validatingadmissionpolicy", "queue-recovery-approvals")

    def in_force_since() -> datetime:
        return max(
            datetime.fromisoformat(guarded.read(*one)["metadata"]["creationTimestamp"]) for one in (policy, binding)
        )

    since = in_force_since()
    async with connection(guarded, "queue-recovery", "queue-recovery") as api:

        async def is_proven(created: datetime) -> bool:
            return await is_author_guarded(api, NAMESPACE, name, uid, created=created)

        assert await is_proven(since + IN_FORCE_WITHIN)
        assert not await is_proven(since + IN_FORCE_WITHIN - timedelta(seconds=1))

        async def is_not_in_force() -> bool:
            return not await is_proven(since + IN_FORCE_WITHIN)

        guarded.kubectl("patch", *binding, "--type=merge", '--patch={"spec":{"validationActions":["Audit"]}}')
        await until(is_not_in_force, "the policy to be out of force")
        guarded.kubectl("apply", "-k", "manifests/admission")
        await until(partial(is_proven, since + IN_FORCE_WITHIN), "the policy to be in force again")

        # Deleted and created again, as `kubectl replace --force` does: the binding is as old as before.
        guarded.kubectl("delete", *policy)

        async def is_another_second() -> bool:
            return datetime.now(UTC) > since + timedelta(seconds=1)

        await until(is_another_second, "the next policy to be younger")
        guarded.kubectl("apply", "-k", "manifests/admission")
        again = in_force_since()
        await until(partial(is_proven, again + IN_FORCE_WITHIN), "the policy to be in force for the second time")
        assert not await is_proven(again + IN_FORCE_WITHIN - timedelta(seconds=1))
