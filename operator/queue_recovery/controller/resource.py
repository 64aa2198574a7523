"""One QueueRecovery in the API server: what its user wishes, and the one writer of its status."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import BaseModel, ConfigDict, Field

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery import FINALIZER, QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.controller.api_server import REQUEST_TIMEOUT, translated
from queue_recovery.recovery.errors import Unavailable
from queue_recovery.recovery.world import Gone, Superseded, Wish

PLURAL = "queuerecoveries"

_CONFLICT = 409
_UNPROCESSABLE = 422
_TRIES = 5

Written = Callable[[QueueRecoveryStatus, QueueRecoveryStatus], None]
"""Told of every status that was stored: the one before, and the new one."""


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore")

    uid: str
    namespace: str
    name: str
    generation: int = 1
    resource_version: str = Field(alias="resourceVersion")
    created: datetime = Field(alias="creationTimestamp")
    deleted: datetime | None = Field(None, alias="deletionTimestamp")
    finalizers: tuple[str, ...] = ()


class _Body(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    metadata: _Metadata
    spec: QueueRecoverySpec
    status: QueueRecoveryStatus = QueueRecoveryStatus()


class KubernetesResource:
    """A QueueRecovery by its UID. Implements `recovery.world.Resource`."""

    def __init__(self, api: ApiClient, body: Mapping[str, Any], *, written: Written) -> None:
        """Take the resource's body as the API server has it; `written` is told of every status that was stored."""
        parsed = _Body.model_validate(body)
        self.uid = parsed.metadata.uid
        self.namespace = parsed.metadata.namespace
        self.name = parsed.metadata.name
        self.created = parsed.metadata.created
        self._api = CustomObjectsApi(api)
        self._written = written
        self._heard = asyncio.Event()
        self._protected = asyncio.Event()
        self._status = parsed.status
        self._resource_version = parsed.metadata.resource_version
        self._wish = _wish(parsed)
        self._take_in(parsed)

    @property
    def wish(self) -> Wish:
        """What the user wants, as last heard."""
        return self._wish

    def hear(self, body: Mapping[str, Any]) -> None:
        """Take in a watch event."""
        self._take_in(_Body.model_validate(body))

    async def changed(self) -> None:
        """Return once the wish has changed since the last call."""
        await self._heard.wait()
        self._heard.clear()

    async def protected(self) -> None:
        """Return once the finalizer is stored: before that, a deletion would not wait for us."""
        await self._protected.wait()

    async def read(self) -> QueueRecoveryStatus:
        """Return the stored status; raises Gone, or Unavailable (`KubernetesUnavailable`)."""
        with translated(gone=Gone):
            body = await self._api.get_namespaced_custom_object(
                GROUP, VERSION, self.namespace, PLURAL, self.name, _request_timeout=REQUEST_TIMEOUT
            )
        parsed = _Body.model_validate(body)
        if parsed.metadata.uid != self.uid:
            raise Gone
        self._resource_version = parsed.metadata.resource_version
        self._status = parsed.status
        self._take_in(parsed)
        return parsed.status

    async def write(self, status: QueueRecoveryStatus) -> None:
        """Store the status if it is still the one last read or written here.

        A change of anything else in the resource (a finalizer, a label, the spec) is no obstacle. Raises Superseded,
        Gone, or Unavailable (`KubernetesUnavailable`).
        """
        before = self._status
        for _ in range(_TRIES):
            try:
                with translated(gone=Gone, expected=(_CONFLICT, _UNPROCESSABLE)):
                    body = await self._patch(status)
            except ApiException:
                if await self.read() != before:
                    raise Superseded from None
                continue
            self._resource_version = _Body.model_validate(body).metadata.resource_version
            self._status = status
            self._written(before, status)
            return
        raise Unavailable(
            Reason.KUBERNETES_UNAVAILABLE,
            "the API server refuses the status; are the CRDs those of this operator's version? kubectl apply -k crds/",
        )

    async def _patch(self, status: QueueRecoveryStatus) -> object:
        patch: list[dict[str, object]] = [
            {"op": "test", "path": "/metadata/uid", "value": self.uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": self._resource_version},
            {
                "op": "add",
                "path": "/status",
                "value": status.model_dump(mode="json", by_alias=True, exclude_none=True),
            },
        ]
        return await self._api.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            self.namespace,
            PLURAL,
            self.name,
            patch,
            _content_type="application/json-patch+json",
            _request_timeout=REQUEST_TIMEOUT,
        )

    def _take_in(self, parsed: _Body) -> None:
        wish = _wish(parsed)
        if wish != self._wish:
            self._wish = wish
            self._heard.set()
        if FINALIZER in parsed.metadata.finalizers:
            self._protected.set()


def _wish(body: _Body) -> Wish:
    return Wish(spec=body.spec, generation=body.metadata.generation, deleting=body.metadata.deleted is not None)
