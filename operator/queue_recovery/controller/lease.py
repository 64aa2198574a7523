"""The Lease in the API server; a write conflicts with any other since the read."""

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi

from queue_recovery.api.reasons import Reason
from queue_recovery.controller.candidate import LeaseRecord
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.api_errors import translated_failures

NAME = "queue-recovery"
_WHERE = ("coordination.k8s.io", "v1")


class KubernetesLease:
    """The Lease `queue-recovery` of one namespace.

    It uses the client for any resource: the one for leases cannot write a time that falls on a whole second.
    """

    def __init__(self, api: ApiClient, namespace: str, request_seconds: float) -> None:
        """Take the connection, the namespace, and the timeout of a request."""
        self._api = CustomObjectsApi(api)
        self._namespace = namespace
        self._seconds = request_seconds
        self._body: dict[str, Any] | None = None
        """As last read."""

    async def read(self) -> LeaseRecord | None:
        """Return the content of the Lease; None: there is none. Raises RecoveryError."""
        try:
            with translated_failures(forbidden=self._forbidden, expected=(HTTPStatus.NOT_FOUND,)):
                body: Any = await self._api.get_namespaced_custom_object(
                    *_WHERE, self._namespace, "leases", NAME, _request_timeout=self._seconds
                )
        except ApiException:
            self._body = None
            return None
        self._body = body
        spec = body.get("spec") or {}
        return LeaseRecord(
            holder=spec.get("holderIdentity") or "",
            seconds=spec.get("leaseDurationSeconds") or 0,
            renewed=spec.get("renewTime") or "",
            acquired=spec.get("acquireTime") or "",
            transitions=spec.get("leaseTransitions") or 0,
        )

    async def write(self, record: LeaseRecord) -> bool:
        """Write the record; return False where the Lease has changed since the last read.

        Raises RecoveryError.
        """
        spec = {
            "holderIdentity": record.holder,
            "leaseDurationSeconds": record.seconds,
            "renewTime": record.renewed,
            "acquireTime": record.acquired,
            "leaseTransitions": record.transitions,
        }
        try:
            with translated_failures(forbidden=self._forbidden, expected=(HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)):
                if self._body is None:
                    await self._create(spec)
                else:
                    await self._replace({**self._body, "spec": spec})
        except ApiException as error:
            if error.status == HTTPStatus.NOT_FOUND and self._body is None:
                raise self._forbidden from None  # there is no such namespace
            return False
        return True

    async def _create(self, spec: dict[str, Any]) -> None:
        body = {
            "apiVersion": "/".join(_WHERE),
            "kind": "Lease",
            "metadata": {"name": NAME, "namespace": self._namespace},
            "spec": spec,
        }
        await self._api.create_namespaced_custom_object(
            *_WHERE, self._namespace, "leases", body, _request_timeout=self._seconds
        )

    async def _replace(self, body: dict[str, Any]) -> None:
        # With the resourceVersion that was read; without it the last write would win.
        await self._api.replace_namespaced_custom_object(
            *_WHERE, self._namespace, "leases", NAME, body, _request_timeout=self._seconds
        )

    @property
    def _forbidden(self) -> RecoveryError:
        return RecoveryError(
            Reason.FORBIDDEN,
            f'the operator may not use the Lease "{NAME}" in namespace "{self._namespace}", or the namespace does not '
            "exist. Bind the Role of manifests/operator/rbac.yaml there, or run one replica with "
            "QUEUE_RECOVERY_LEASE_SECONDS=0",
        )


def microtime() -> str:
    """Return the time in UTC as a Lease has it, with six digits for microseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
