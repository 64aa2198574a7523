"""What the operator may do in a namespace, and how to grant it."""

import asyncio
import time
from collections.abc import Iterable, Sequence
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
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, NotYet
from queue_recovery.workers.api_errors import API_ERRORS, to_recovery_error
from queue_recovery.workers.calls import REQUEST_SECONDS, answer

TENANT_ROLE: Final = "queue-recovery-tenant"
"""The ClusterRole that a namespace grants to the operator by a RoleBinding."""


_GRANTED_SECONDS: Final = 10.0
"""For so long it is remembered that a right is there: a crowd of recoveries asks at once."""

_REVIEWS_AT_ONCE: Final = 20
_NAMED_AT_MOST: Final = 10


@dataclass(frozen=True)
class ServiceAccount:
    """Whom the operator runs as."""

    namespace: str = "queue-recovery"
    name: str = "queue-recovery"


@dataclass(frozen=True)
class Permission:
    """One thing that the operator has to be allowed in a namespace."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""
    """Of the one object that it is about; empty: all of them."""

    @override
    def __str__(self) -> str:
        """Return it as `patch deployments.apps/worker`."""
        group, name = f".{self.group}" if self.group else "", f"/{self.name}" if self.name else ""
        return f"{self.verb} {self.resource}{group}{name}"


def permissions_for(secrets: Iterable[str], deployments: Iterable[str]) -> list[Permission]:
    """Return the rights that are needed to read these Secrets, and to stop and start these Deployments.

    Informers list and watch the whole namespace, which rights on single names do not allow.
    """
    return [
        *(Permission("get", "secrets", name=name) for name in secrets),
        *(Permission(verb, "deployments", "apps") for verb in ("list", "watch")),
        *(Permission(verb, "deployments", "apps", name) for name in deployments for verb in ("get", "patch")),
        *(Permission(verb, "replicasets", "apps") for verb in ("list", "watch")),
        *(Permission(verb, "pods") for verb in ("list", "watch")),
    ]


class _Rule(Model):
    verbs: Sequence[str] = ()
    api_groups: Sequence[str] = ()
    resources: Sequence[str] = ()
    resource_names: Sequence[str] = ()

    def grants(self, right: Permission) -> bool:
        """Tell whether it grants a right."""
        pairs = ((right.verb, self.verbs), (right.group, self.api_groups), (right.resource, self.resources))
        named = not self.resource_names or right.name in self.resource_names
        return named and all({wanted, "*"} & {*given} for wanted, given in pairs)


class _RulesStatus(Model):
    resource_rules: Sequence[_Rule] = ()


class _Rules(Model):
    status: _RulesStatus


class _ReviewStatus(Model):
    allowed: bool


class _Review(Model):
    status: _ReviewStatus


def forbidden(namespace: str, account: ServiceAccount, missing: Sequence[Permission] = ()) -> NotYet:
    """Make the error for rights that the operator lacks in a namespace; it shows the command that grants them.

    Args:
        namespace: where it lacks them.
        account: whom the operator runs as.
        missing: what `Permissions.missing` found, when that was asked.
    """
    lacks = "has not all its rights, or is stopped by a policy,"
    if missing:
        more = f" and {len(missing) - _NAMED_AT_MOST} more" if len(missing) > _NAMED_AT_MOST else ""
        lacks = f"may not {', '.join(map(str, missing[:_NAMED_AT_MOST]))}{more}"
    # Permissions that are missing are seen to come; what a policy forbids can only be tried again.
    error = AwaitingChange if missing else NotYet
    return error(
        Reason.FORBIDDEN,
        f"the operator {lacks} in namespace {namespace}; "
        f"kubectl create rolebinding queue-recovery --clusterrole={TENANT_ROLE} "
        f"--serviceaccount={account.namespace}:{account.name} -n {namespace}",
    )


class Permissions:
    """Which rights the operator has in a namespace, asked once for all who want to know."""

    def __init__(self, api_client: ApiClient, namespace: str) -> None:
        """Take a connection and the namespace."""
        self._api = AuthorizationV1Api(api_client)
        self._namespace = namespace
        self._asking: asyncio.Task[Sequence[_Rule]] | None = None
        self._granted_until: dict[Permission, float] = {}

    async def missing(self, rights: Sequence[Permission]) -> list[Permission]:
        """Return those that the operator lacks, at least the first of them; empty: none, now or some seconds ago.

        All rules that apply are asked for at once; an authorizer other than RBAC may not name all of its own, so what
        they do not grant is asked for one by one.

        Raises:
            Unavailable: `KubernetesUnavailable`.
        """
        now = time.monotonic()
        asked = [right for right in rights if self._granted_until.get(right, 0) < now]
        if not asked:
            return []
        try:
            rules = await self._rules()
            doubtful = [right for right in asked if not any(rule.grants(right) for rule in rules)]
            missing: list[Permission] = []
            for first in range(0, len(doubtful), _REVIEWS_AT_ONCE):
                portion = doubtful[first : first + _REVIEWS_AT_ONCE]
                answers = await asyncio.gather(*map(self._allowed, portion))
                missing = [right for right, allowed in zip(portion, answers, strict=True) if not allowed]
                if missing:
                    break
        except API_ERRORS as error:
            raise to_recovery_error(error) from None
        if not missing:
            fresh = {right: until for right, until in self._granted_until.items() if until >= now}
            self._granted_until = fresh | dict.fromkeys(asked, now + _GRANTED_SECONDS)
        return missing

    async def _rules(self) -> Sequence[_Rule]:
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._review())
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # all may have gone
        return await asyncio.shield(self._asking)

    async def _review(self) -> Sequence[_Rule]:
        review = V1SelfSubjectRulesReview(spec=V1SelfSubjectRulesReviewSpec(namespace=self._namespace))
        body = await answer(
            self._api.create_self_subject_rules_review_without_preload_content(review, _request_timeout=REQUEST_SECONDS)
        )
        return _Rules.model_validate_json(body).status.resource_rules

    async def _allowed(self, right: Permission) -> bool:
        attributes = V1ResourceAttributes(
            namespace=self._namespace,
            verb=right.verb,
            group=right.group,
            resource=right.resource,
            name=right.name or None,
        )
        review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
        body = await answer(
            self._api.create_self_subject_access_review_without_preload_content(
                review, _request_timeout=REQUEST_SECONDS
            )
        )
        return _Review.model_validate_json(body).status.allowed
