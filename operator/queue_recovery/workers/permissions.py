"""The operator's permissions in a namespace, and how to grant them."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kubernetes.aio.client import (
    ApiClient,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
    V1SelfSubjectRulesReview,
    V1SelfSubjectRulesReviewSpec,
)
from typing_extensions import override

from queue_recovery.api.base import Model
from queue_recovery.api.ledger import LEDGER
from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import APPS, DEPLOYMENT, ROLLOUT, STATEFUL_SET, GroupVersionKind, WorkerRef
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.wording import named
from queue_recovery.workers.api_errors import API_ERRORS, to_recovery_error
from queue_recovery.workers.calls import REQUEST_SECONDS, answer
from queue_recovery.workers.kinds import PodsOf, kind_of

TENANT_ROLE: Final = "queue-recovery-tenant"
"""The ClusterRole that a namespace grants to the operator by a RoleBinding."""

ROLLOUTS_ROLE: Final = f"{TENANT_ROLE}-rollouts"
"""The same for Rollouts, which not every namespace has."""

APPS_PLURALS: Final[Mapping[GroupVersionKind, str]] = {DEPLOYMENT: "deployments", STATEFUL_SET: "statefulsets"}
"""The resources of the kinds that every cluster has."""

_GRANTED_SECONDS: Final = 10.0
"""How long a granted permission is remembered: many recoveries ask at once."""

_REVIEWS_AT_ONCE: Final = 20


@dataclass(frozen=True)
class ServiceAccount:
    """The ServiceAccount that the operator runs as."""

    namespace: str = "queue-recovery"
    name: str = "queue-recovery"

    @property
    def user(self) -> str:
        """Its user name, as the API server knows it."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


@dataclass(frozen=True)
class Permission:
    """One permission that the operator needs in a namespace."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""
    """Of the one object; empty: all objects of the resource."""

    @override
    def __str__(self) -> str:
        """Return it as `patch deployments.apps/worker`."""
        group, name = f".{self.group}" if self.group else "", f"/{self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{group}{name}"


def permissions_for(
    secrets: Iterable[str],
    workers: Iterable[WorkerRef],
    plurals: Mapping[GroupVersionKind, str] = APPS_PLURALS,
) -> list[Permission]:
    """Return what is needed to read these Secrets, to scale these workers, and to write the ledger.

    Informers list and watch the whole namespace, which permissions on single names do not allow.

    Args:
        secrets: names of Secrets.
        workers: the workers.
        plurals: the resources of their kinds.
    """
    refs = list(workers)
    kinds = {ref.gvk: kind_of(ref.gvk) for ref in refs}
    listed = {(gvk.group, plurals[gvk]) for gvk in kinds}
    listed |= {(APPS, "replicasets") for kind in kinds.values() if kind.has_replica_sets}
    scaled = [ref for ref in refs if kinds[ref.gvk].pods_of is PodsOf.SELECTOR]
    return [
        *(Permission("get", "secrets", name=name) for name in secrets),
        *(Permission(verb, resource, group) for group, resource in sorted(listed) for verb in ("list", "watch")),
        *(Permission(verb, plurals[ref.gvk], ref.gvk.group, ref.name) for ref in refs for verb in ("get", "patch")),
        *(Permission("get", f"{plurals[ref.gvk]}/scale", ref.gvk.group, ref.name) for ref in scaled),
        *(Permission(verb, "pods") for verb in ("list", "watch")),
        *(Permission(verb, "configmaps", name=LEDGER) for verb in ("get", "patch")),
        Permission("create", "configmaps"),
    ]


class _Rule(Model):
    verbs: Sequence[str] = ()
    api_groups: Sequence[str] = ()
    resources: Sequence[str] = ()
    resource_names: Sequence[str] = ()

    def grants(self, permission: Permission) -> bool:
        """Return whether the rule grants a permission."""
        pairs = (
            (permission.verb, self.verbs),
            (permission.group, self.api_groups),
            (permission.resource, self.resources),
        )
        any_name = not self.resource_names or permission.name in self.resource_names
        return any_name and all({wanted, "*"} & {*given} for wanted, given in pairs)


class _RulesStatus(Model):
    resource_rules: Sequence[_Rule] = ()


class _Rules(Model):
    status: _RulesStatus


class _ReviewStatus(Model):
    allowed: bool


class _Review(Model):
    status: _ReviewStatus


def forbidden(namespace: str, account: ServiceAccount, missing: Sequence[Permission] = ()) -> RecoveryError:
    """Return the error for missing permissions, with the command that grants them.

    Args:
        namespace: where the operator lacks them.
        account: the operator's ServiceAccount.
        missing: what `Permissions.missing` has returned, if it was asked.
    """
    roles = _roles(missing)
    grant = " && ".join(
        f"kubectl create rolebinding {role.replace(TENANT_ROLE, 'queue-recovery')} --clusterrole={role} "
        f"--serviceaccount={account.namespace}:{account.name} -n {namespace}"
        for role in roles
    )
    if not roles:
        grant = 'bind a role of your own, as "Other kinds" in docs/gitops.md describes'
    if not missing:
        return RecoveryError(
            Reason.FORBIDDEN,
            f'the API server denies the operator\'s request in namespace "{namespace}" (403). Unless an admission '
            f"policy does so, grant access: {grant}",
        )
    # Granted permissions are observed; what a policy denies can only be tried again.
    lacks = named([str(each) for each in missing])
    return AwaitingChange(
        Reason.FORBIDDEN,
        f'the operator lacks permissions in namespace "{namespace}". Grant them: {grant} (missing: {lacks})',
    )


def _roles(missing: Sequence[Permission]) -> list[str]:
    """Return the ClusterRoles that have these permissions; those of other kinds are in none."""
    groups = {each.group for each in missing}
    roles = [TENANT_ROLE] if not groups or groups & {"", APPS} else []
    return [*roles, *([ROLLOUTS_ROLE] if ROLLOUT.group in groups else [])]


class Permissions:
    """The operator's permissions in a namespace, asked for once for all callers."""

    def __init__(self, api_client: ApiClient, namespace: str) -> None:
        """Take a connection and the namespace."""
        self._api = AuthorizationV1Api(api_client)
        self._namespace = namespace
        self._asking: asyncio.Task[Sequence[_Rule]] | None = None
        self._granted_until: dict[Permission, float] = {}

    async def missing(self, permissions: Sequence[Permission]) -> list[Permission]:
        """Return the permissions that the operator lacks, at least the first of them.

        One request returns all rules that apply. An authorizer other than RBAC may not list all of its own, so what the
        rules do not grant is asked for one by one. Granted permissions may be some seconds old.

        Raises:
            RecoveryError: `KubernetesUnavailable`.
        """
        now = time.monotonic()
        asked = [each for each in permissions if self._granted_until.get(each, 0) < now]
        if not asked:
            return []
        try:
            rules = await self._rules()
            doubtful = [permission for permission in asked if not any(rule.grants(permission) for rule in rules)]
            missing: list[Permission] = []
            for first in range(0, len(doubtful), _REVIEWS_AT_ONCE):
                portion = doubtful[first : first + _REVIEWS_AT_ONCE]
                answers = await asyncio.gather(*map(self._allowed, portion))
                missing = [permission for permission, allowed in zip(portion, answers, strict=True) if not allowed]
                if missing:
                    break
        except API_ERRORS as error:
            raise to_recovery_error(error) from None
        if not missing:
            fresh = {permission: until for permission, until in self._granted_until.items() if until >= now}
            self._granted_until = fresh | dict.fromkeys(asked, now + _GRANTED_SECONDS)
        return missing

    async def _rules(self) -> Sequence[_Rule]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._review())
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # callers may be gone
        return await asyncio.shield(self._asking)

    async def _review(self) -> Sequence[_Rule]:
        review = V1SelfSubjectRulesReview(spec=V1SelfSubjectRulesReviewSpec(namespace=self._namespace))
        body = await answer(
            self._api.create_self_subject_rules_review_without_preload_content(review, _request_timeout=REQUEST_SECONDS)
        )
        return _Rules.model_validate_json(body).status.resource_rules

    async def _allowed(self, permission: Permission) -> bool:
        attributes = V1ResourceAttributes(
            namespace=self._namespace,
            verb=permission.verb,
            group=permission.group,
            resource=permission.resource.partition("/")[0],
            subresource=permission.resource.partition("/")[2] or None,
            name=permission.name or None,
        )
        review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
        body = await answer(
            self._api.create_self_subject_access_review_without_preload_content(
                review, _request_timeout=REQUEST_SECONDS
            )
        )
        return _Review.model_validate_json(body).status.allowed
