"""Whether the API server compares the annotations that name a recovery's author and approver with the users.

Any user who may change a recovery may write any name into its annotations, unless the policy of `manifests/admission`
is in force. Two things prove that it is, and was when the recovery was created: both the policy and its binding are
older than the recovery, and a change of the author is refused.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

from kubernetes.aio.client import (
    AdmissionregistrationV1Api,
    ApiClient,
    ApiException,
    CustomObjectsApi,
    V1ValidatingAdmissionPolicy,
    V1ValidatingAdmissionPolicyBinding,
)

from queue_recovery.api.approval import AUTHOR
from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Gone
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS

POLICY: Final = "queue-recovery-approvals"
"""Name of the policy and of its binding."""

IN_FORCE_WITHIN: Final = timedelta(minutes=1)
"""How long an API server may take until it enforces a policy that was created."""

_Dated = V1ValidatingAdmissionPolicy | V1ValidatingAdmissionPolicyBinding
_NOBODY: Final = "queuerecovery.dev/nobody"


async def is_author_guarded(api: ApiClient, namespace: str, name: str, uid: str, *, created: datetime) -> bool:
    """Tell whether the author of the recovery was guarded at its creation, and still is.

    Raises Gone, or RecoveryError (`Forbidden`, `KubernetesUnavailable`).
    """
    admission = AdmissionregistrationV1Api(api)
    for reads in (
        admission.read_validating_admission_policy,
        admission.read_validating_admission_policy_binding,
    ):
        since = await _created(reads)
        if since is None or since + IN_FORCE_WITHIN > created:
            return False
    return await _refuses_another(api, namespace, name, uid)


async def _created(reads: Callable[..., Awaitable[_Dated]]) -> datetime | None:
    try:
        with translated_failures(forbidden=_may_not_read(), expected=(HTTPStatus.NOT_FOUND,)):
            found = await reads(POLICY, _request_timeout=REQUEST_SECONDS)
    except ApiException:
        return None
    return None if found.metadata is None else found.metadata.creation_timestamp


async def _refuses_another(api: ApiClient, namespace: str, name: str, uid: str) -> bool:
    """Try to change the author, without storing it."""
    patch = [
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "replace", "path": f"/metadata/annotations/{AUTHOR.replace('/', '~1')}", "value": _NOBODY},
    ]
    try:
        with translated_failures(not_found=Gone, expected=(HTTPStatus.UNPROCESSABLE_ENTITY, HTTPStatus.FORBIDDEN)):
            await CustomObjectsApi(api).patch_namespaced_custom_object(
                GROUP,
                VERSION,
                namespace,
                "queuerecoveries",
                name,
                patch,
                dry_run="All",
                _content_type="application/json-patch+json",
                _request_timeout=REQUEST_SECONDS,
            )
    except ApiException as error:
        return f"'{POLICY}'" in str(error.body)
    return False


def _may_not_read() -> RecoveryError:
    return RecoveryError(
        Reason.FORBIDDEN,
        "the target does not let the author approve, and the operator may not read whether the policies of "
        "manifests/admission are in force. Grant its ServiceAccount get on validatingadmissionpolicies and "
        "validatingadmissionpolicybindings of the group admissionregistration.k8s.io, by a ClusterRole and a "
        f'ClusterRoleBinding; the name "{POLICY}" is enough',
    )
