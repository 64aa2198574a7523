"""What the API server proves: which cluster it is, that a recovery is gone, that a namespace is being deleted."""

import json
import math
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from kubernetes.aio.client import (
    ApiClient,
    ApiException,
    CoreV1Api,
    CustomObjectsApi,
    EventsV1Api,
    EventsV1Event,
    V1ObjectMeta,
    V1ObjectReference,
)

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.workers.api_errors import translated
from queue_recovery.workers.calls import REQUEST_SECONDS

_PLURAL = "queuerecoveries"
_OLDEST_NAMESPACE = "kube-system"
_ASK_AGAIN = 60.0
"""Seconds until a right is asked for again that the operator did not have."""


class ClusterUID:
    """The UID by which a cluster is told from all others, read once in a process: that of its first namespace.

    The authority that signs the API server (`api_server.cluster_identity`) may be shared by clusters, so it proves that
    another cluster is another one, and not that it is the same.
    """

    def __init__(self, api: ApiClient) -> None:
        """Take the connection."""
        self._api = CoreV1Api(api)
        self._uid: str | None = None
        self._refused = -math.inf

    async def read(self) -> str | None:
        """Return it; None: the operator may not read it. Raises Unavailable (`KubernetesUnavailable`)."""
        if self._uid is None and time.monotonic() - self._refused >= _ASK_AGAIN:
            try:
                with translated(expected=(HTTPStatus.FORBIDDEN,)):
                    found = await self._api.read_namespace(_OLDEST_NAMESPACE, _request_timeout=REQUEST_SECONDS)
            except ApiException:
                self._refused = time.monotonic()
                return None
            self._uid = found.metadata.uid if found.metadata else None
        return self._uid


async def recovery_exists(
    api: ApiClient, namespace: str, name: str, uid: str, *, unfinished: bool = False
) -> bool | None:
    """Tell whether a QueueRecovery of that name and UID exists; None: the operator may not look there.

    False only when the API server says that there is none of that name, or another one; with `unfinished`, also that it
    has ended. A 404 that does not name the recovery, such as that of a kind which is not served, is no such answer.

    Raises Unavailable (`KubernetesUnavailable`).
    """
    try:
        with translated(expected=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)):
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


async def is_terminating(api: ApiClient, namespace: str) -> bool:
    """Tell whether a namespace is gone or being deleted, by creating an event in it without storing it.

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
        with translated(expected=(HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND)):
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
    """Return the details of the Status that the API server has answered with; empty when it is none."""
    try:
        details = json.loads(error.body or "")["details"]
    except (TypeError, ValueError, KeyError):
        return {}
    return details if isinstance(details, dict) else {}
