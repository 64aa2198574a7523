"""What the API server proves: that a recovery does not exist any more, or that a namespace is being deleted."""

import json
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CustomObjectsApi,
    EventsV1Api,
    EventsV1Event,
    V1ObjectMeta,
    V1ObjectReference,
)

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.controller.api_server import REQUEST_TIMEOUT, translated

_FORBIDDEN = 403
_NOT_FOUND = 404
_PLURAL = "queuerecoveries"


async def recovery_exists(api: ApiClient, namespace: str, name: str, uid: str) -> bool | None:
    """Tell whether a QueueRecovery of that name and UID exists; None: the operator may not look there.

    False only when the API server says that there is none of that name, or another one. A 404 that does not name the
    recovery, such as that of a kind which is not served, is no such answer.

    Raises Unavailable (`KubernetesUnavailable`).
    """
    try:
        with translated(expected=(_FORBIDDEN, _NOT_FOUND)):
            body: Any = await CustomObjectsApi(api).get_namespaced_custom_object(
                GROUP, VERSION, namespace, _PLURAL, name, _request_timeout=REQUEST_TIMEOUT
            )
    except ApiException as error:
        if error.status == _NOT_FOUND and _details(error).get("name") == name:
            return False
        return None
    return bool(body["metadata"]["uid"] == uid)


async def is_terminating(api: ApiClient, namespace: str) -> bool:
    """Tell whether a namespace is being deleted, by creating an event in it without storing it.

    Reading the namespace would need one more right in the whole cluster.

    Raises Unavailable (`KubernetesUnavailable`).
    """
    event = EventsV1Event(
        metadata=V1ObjectMeta(name=f"probe.{uuid4().hex[:16]}", namespace=namespace),
        event_time=datetime.now(UTC),
        reporting_controller=f"{GROUP}/operator",
        reporting_instance="probe",
        action="Probe",
        reason="Probe",
        type="Normal",
        regarding=V1ObjectReference(kind="Namespace", name=namespace, namespace=namespace),
    )
    try:
        with translated(expected=(_FORBIDDEN, _NOT_FOUND)):
            await EventsV1Api(api).create_namespaced_event(
                namespace, event, dry_run="All", _request_timeout=REQUEST_TIMEOUT
            )
    except ApiException as error:
        return any(cause.get("reason") == "NamespaceTerminating" for cause in _details(error).get("causes", []))
    return False


def _details(error: ApiException) -> dict[str, Any]:
    """Return the details of the Status that the API server has answered with; empty when it is none."""
    try:
        details = json.loads(error.body or "")["details"]
    except (TypeError, ValueError, KeyError):
        return {}
    return details if isinstance(details, dict) else {}
