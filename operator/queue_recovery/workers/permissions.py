"""What the operator may do in a namespace, and how to grant it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kubernetes.aio.client import (
    ApiClient,
    AuthorizationV1Api,
    V1ResourceAttributes,
    V1SelfSubjectAccessReview,
    V1SelfSubjectAccessReviewSpec,
)
from pydantic import ValidationError

from queue_recovery.api.base import Model
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, NotYet
from queue_recovery.workers.calls import SECONDS, Refused, Unreachable, answer, meaning

TENANT_ROLE: Final = "queue-recovery-tenant"
"""The ClusterRole that a namespace grants to the operator by a RoleBinding."""


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


async def missing_permissions(api_client: ApiClient, namespace: str) -> list[str]:
    """Ask the API server which rights of the tenant's role the caller lacks in a namespace.

    Returns:
        Each as `patch deployments.apps`; empty when nothing is missing.

    Raises:
        Unavailable: `KubernetesUnavailable`.
    """
    authorization = AuthorizationV1Api(api_client)

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
        answers = await asyncio.gather(*map(allowed, _RIGHTS))
    except (Refused, Unreachable) as error:
        # Every account may review its own rights: who may not is not known to the server at all.
        raise meaning(error, forbidden=forbidden(namespace, ServiceAccount())) from None
    except ValidationError:
        raise meaning(Unreachable(), forbidden=forbidden(namespace, ServiceAccount())) from None
    return [right.name for right, given in zip(_RIGHTS, answers, strict=True) if not given]
