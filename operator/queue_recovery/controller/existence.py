"""Whether a recovery exists, and whether a namespace is being deleted."""

import json
from datetime import UTC, datetime
from http import HTTPStatus
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
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS

_PLURAL = "queuerecoveries"


async def recovery_exists(
    api: ApiClient, namespace: str, name: str, uid: str, *, unfinished: bool = False
) -> bool | None:
    """Return whether a QueueRecovery exists; None: the operator may not read it.

    False only when the API server says that no recovery has that name, or one with another UID; with `unfinished`, also
    when it has ended. A 404 that does not name the recovery, as that of a kind which is not served, proves nothing.

    Raises RecoveryError (`KubernetesUnavailable`).
    """
    try:
        with translated_failures(expected=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)):
            body: Any = await CustomObjectsApi(api).get_namespaced_custom_object(
                GROUP, VERSION, namespace, _PLURAL, name, _request_timeout=REQUEST_SECONDS
            )
    except ApiException as error:
        if error.status == HTTPStatus.NOT_FOUND and _details(error).get("name") == name:
            return False
        return None
    if unfinished and "completionTime" in body.get("status", {}):
        return False
    return bool(body["metadata"]["uid"] == uid)


async def namespace_is_terminating(api: ApiClient, namespace: str) -> bool:
    """Return whether a namespace is gone or being deleted.

    This creates an event in it as a dry run. Reading namespaces would need one more permission in the whole cluster.

    Raises RecoveryError (`KubernetesUnavailable`).
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
        with translated_failures(expected=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)):
            await EventsV1Api(api).create_namespaced_event(
                namespace, event, dry_run="All", _request_timeout=REQUEST_SECONDS
            )
    except ApiException as error:
        details = _details(error)
        if (details.get("kind"), details.get("name")) == ("namespaces", namespace):
            return True
        return any(cause.get("reason") == "NamespaceTerminating" for cause in details.get("causes", []))
    return False


def _details(error: ApiException) -> dict[str, Any]:
    """Return the details of the Status in the answer; empty: it has none."""
    try:
        details = json.loads(error.body or "")["details"]
    except (TypeError, ValueError, KeyError):
        return {}
    return details if isinstance(details, dict) else {}
