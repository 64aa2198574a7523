"""What the operator may do in a namespace, and how to grant it."""

import asyncio
import math
import time
from collections.abc import Sequence
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
from pydantic import ValidationError

from queue_recovery.api.base import Model
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, NotYet
from queue_recovery.workers.calls import SECONDS, Refused, Unreachable, answer, meaning

TENANT_ROLE: Final = "queue-recovery-tenant"
"""The ClusterRole that a namespace grants to the operator by a RoleBinding."""


_COMPLETE_SECONDS: Final = 10.0
"""For so long it is remembered that nothing is missing: a crowd of recoveries asks at once."""


@dataclass(frozen=True)
class ServiceAccount:
    """Whom the operator runs as."""

    namespace: str = "queue-recovery"
    name: str = "queue-recovery"


@dataclass(frozen=True)
class _Right:
    verb: str
    resource: str
    group: str = ""

    @property
    def name(self) -> str:
        return f"{self.verb} {self.resource}{'.' if self.group else ''}{self.group}"


_RIGHTS: Final = [
    _Right("get", "secrets"),
    *(_Right(verb, "deployments", "apps") for verb in ("get", "list", "watch", "patch")),
    *(_Right(verb, "replicasets", "apps") for verb in ("list", "watch")),
    *(_Right(verb, "pods") for verb in ("list", "watch")),
]
"""What the ClusterRole grants."""


class _Rule(Model):
    verbs: Sequence[str] = ()
    api_groups: Sequence[str] = ()
    resources: Sequence[str] = ()
    resource_names: Sequence[str] = ()

    def grants(self, right: _Right) -> bool:
        """Tell whether it grants a right on all objects of its kind."""
        pairs = ((right.verb, self.verbs), (right.group, self.api_groups), (right.resource, self.resources))
        return not self.resource_names and all({wanted, "*"} & {*given} for wanted, given in pairs)


class _RulesStatus(Model):
    resource_rules: Sequence[_Rule] = ()


class _Rules(Model):
    status: _RulesStatus


class _ReviewStatus(Model):
    allowed: bool


class _Review(Model):
    status: _ReviewStatus


def forbidden(namespace: str, account: ServiceAccount, missing: Sequence[str] = ()) -> NotYet:
    """Make the error for rights that the operator lacks in a namespace; it shows the command that grants them.

    Args:
        namespace: where it lacks them.
        account: whom the operator runs as.
        missing: what `missing_permissions` found, when that was asked.
    """
    lacks = "has not all its rights, or is stopped by a policy,"
    if missing:
        lacks = "has no rights" if len(missing) == len(_RIGHTS) else f"may not {', '.join(missing)}"
    # Rights that are missing are seen to come; what a policy forbids can only be tried again.
    error = AwaitingChange if missing else NotYet
    return error(
        Reason.FORBIDDEN,
        f"the operator {lacks} in namespace {namespace}; "
        f"kubectl create rolebinding queue-recovery --clusterrole={TENANT_ROLE} "
        f"--serviceaccount={account.namespace}:{account.name} -n {namespace}",
    )


class Rights:
    """Which rights of the tenant's role the operator lacks in a namespace, asked once for all who want to know."""

    def __init__(self, api_client: ApiClient, namespace: str) -> None:
        """Take a connection and the namespace."""
        self._api = api_client
        self._namespace = namespace
        self._asking: asyncio.Task[list[str]] | None = None
        self._complete_until = -math.inf

    async def missing(self) -> list[str]:
        """Return each that is missing as `patch deployments.apps`; empty when none is, now or some seconds ago.

        Raises:
            Unavailable: `KubernetesUnavailable`.
        """
        if time.monotonic() < self._complete_until:
            return []
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(missing_permissions(self._api, self._namespace))
            self._asking.add_done_callback(lambda task: task.cancelled() or task.exception())  # all may have gone
        missing = await asyncio.shield(self._asking)
        if not missing:
            self._complete_until = time.monotonic() + _COMPLETE_SECONDS
        return missing


async def missing_permissions(api_client: ApiClient, namespace: str) -> list[str]:
    """Ask the API server which rights of the tenant's role the caller lacks in a namespace.

    All rules that apply there are asked for at once; an authorizer other than RBAC may not name all of its own, so what
    they do not grant is asked for one by one.

    Returns:
        Each as `patch deployments.apps`; empty when nothing is missing.

    Raises:
        Unavailable: `KubernetesUnavailable`.
    """
    authorization = AuthorizationV1Api(api_client)

    async def rules() -> Sequence[_Rule]:
        review = V1SelfSubjectRulesReview(spec=V1SelfSubjectRulesReviewSpec(namespace=namespace))
        body = await answer(
            authorization.create_self_subject_rules_review_without_preload_content(review, _request_timeout=SECONDS)
        )
        return _Rules.model_validate_json(body).status.resource_rules

    async def allowed(right: _Right) -> bool:
        attributes = V1ResourceAttributes(
            namespace=namespace, verb=right.verb, group=right.group, resource=right.resource
        )
        review = V1SelfSubjectAccessReview(spec=V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
        body = await answer(
            authorization.create_self_subject_access_review_without_preload_content(review, _request_timeout=SECONDS)
        )
        return _Review.model_validate_json(body).status.allowed

    try:
        granted = await rules()
        doubtful = [right for right in _RIGHTS if not any(rule.grants(right) for rule in granted)]
        answers = await asyncio.gather(*map(allowed, doubtful))
    except (Refused, Unreachable) as error:
        # Every account may review its own rights: who may not is not known to the server at all.
        raise meaning(error, forbidden=forbidden(namespace, ServiceAccount())) from None
    except ValidationError:
        raise meaning(Unreachable(), forbidden=forbidden(namespace, ServiceAccount())) from None
    return [right.name for right, given in zip(doubtful, answers, strict=True) if not given]
