"""One QueueRecovery in the API server: the writer of its status and finalizer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from kubernetes.aio.client import ApiClient, ApiException, CustomObjectsApi
from pydantic import BaseModel, ConfigDict, Field

from queue_recovery.api.approval import APPROVE, APPROVER, AUTHOR
from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import FINALIZER, QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.stuck import PROPOSED_FOR
from queue_recovery.controller.author_guard import is_author_guarded
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import (
    LONGEST_ANNOTATION,
    Annotations,
    DesiredState,
    Gone,
    Superseded,
)
from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS

PLURAL = "queuerecoveries"

_REFUSED = (409, 422)
"""A `test` of the patch fails, or the API server refuses its result."""
_TRIES = 5
_JSON_PATCH = "application/json-patch+json"

Operation = dict[str, object]
"""One operation of a JSON patch."""

Written = Callable[[QueueRecoveryStatus, QueueRecoveryStatus], None]
"""Called with every status that was stored: the one before, and the new one."""


class _Annotations(BaseModel):
    approve: str = Field("", alias=APPROVE)
    approver: str = Field("", alias=APPROVER)
    author: str = Field("", alias=AUTHOR)


class _Labels(BaseModel):
    proposed_for: str = Field("", alias=PROPOSED_FOR)


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
    annotations: _Annotations = _Annotations()
    labels: _Labels = _Labels()


class _Body(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    metadata: _Metadata
    spec: QueueRecoverySpec
    status: QueueRecoveryStatus = QueueRecoveryStatus()


async def read_body(api: ApiClient, namespace: str, name: str, uid: str) -> Mapping[str, Any]:
    """Return the body of a recovery.

    Raises Gone (also when another recovery has its name now), or RecoveryError.
    """
    with translated_failures(not_found=Gone):
        found = await CustomObjectsApi(api).get_namespaced_custom_object(
            GROUP, VERSION, namespace, PLURAL, name, _request_timeout=REQUEST_SECONDS
        )
    body = cast("Mapping[str, Any]", found)
    if body["metadata"]["uid"] != uid:
        raise Gone
    return body


class KubernetesResource:
    """A QueueRecovery by its UID. Implements `recovery.environment.Resource`."""

    def __init__(self, api: ApiClient, body: Mapping[str, Any], *, written: Written, just_read: bool = False) -> None:
        """Take the body of the resource.

        Args:
            api: the connection.
            body: the resource.
            written: called with every status that was stored.
            just_read: whether the body was read just now, so that the first `read` sends no request.
        """
        parsed = _Body.model_validate(body)
        self.uid = parsed.metadata.uid
        self.namespace = parsed.metadata.namespace
        self.name = parsed.metadata.name
        self.created = parsed.metadata.created
        self._client = api
        self._api = CustomObjectsApi(api)
        self._written = written
        self._received = asyncio.Event()
        self._status = parsed.status
        self._version = parsed.metadata
        self._desired = _desired(parsed)
        self._just_read = just_read

    @property
    def desired(self) -> DesiredState:
        """The desired state, as last received."""
        return self._desired

    @property
    def last_status(self) -> QueueRecoveryStatus:
        """The status as last received, read or written."""
        return self._status

    @property
    def observed_generation(self) -> int:
        """The generation of the spec that the stored status was made from."""
        return self._status.observed_generation

    def receive(self, body: Mapping[str, Any], *, gone: bool = False) -> None:
        """Handle a watch event; `gone`: the resource was deleted."""
        desired = _desired(_Body.model_validate(body))
        self._update(replace(desired, deleting=True) if gone else desired)

    async def changed(self) -> None:
        """Return once the desired state has changed since the last call."""
        await self._received.wait()
        self._received.clear()

    async def read(self) -> QueueRecoveryStatus:
        """Return the stored status; raises Gone, or RecoveryError."""
        if self._just_read:
            self._just_read = False
            return self._status
        parsed = _Body.model_validate(await read_body(self._client, self.namespace, self.name, self.uid))
        self._store(parsed)
        return parsed.status

    async def is_author_proven(self) -> bool:
        """See `recovery.ports.Resource`."""
        return await is_author_guarded(self._client, self.namespace, self.name, self.uid, created=self.created)

    async def write(self, status: QueueRecoveryStatus, *, asked: DesiredState | None = None) -> None:
        """Store the status if the stored one is still that last read or written here.

        A status with effects that a deletion has to wait for is stored only on a resource with the finalizer, which is
        added first. The finalizer cannot be added to a resource that is being deleted: there such a status is stored
        only if it has its ending. A change of anything else in the resource (a label, the spec) does no harm, but with
        `asked` one of the desired state does: the write tests the resourceVersion with which that was read.

        Raises Superseded (also when the finalizer is needed and cannot be added), Gone, or RecoveryError.
        """
        before = self._status
        for _ in range(_TRIES):
            if self._takes_no_finalizer and needs_finalizer(status) and status.ending is None:
                raise Superseded
            if asked is not None and self._desired != asked:
                raise Superseded
            try:
                with translated_failures(not_found=Gone, expected=_REFUSED):
                    if needs_finalizer(status) and not (self._has_finalizer or self._takes_no_finalizer):
                        self._store(await self._edit([_finalizers(*self._version.finalizers, FINALIZER)]))
                    stored = await self._patch_status(status)
            except ApiException:
                if await self.read() != before:
                    raise Superseded from None
                continue
            self._version = stored.metadata
            self._status = status
            self._written(before, status)
            return
        raise RecoveryError(
            Reason.KUBERNETES_UNAVAILABLE,
            "the API server refuses the status. Apply the CRDs of this operator's version: kubectl apply -k crds/",
        )

    async def release(self) -> None:
        """Remove the finalizer, unless the status has effects that a deletion waits for.

        Raises Gone, or RecoveryError.
        """
        for _ in range(_TRIES):
            if needs_finalizer(self._status) or not self._has_finalizer:
                return
            others = [name for name in self._version.finalizers if name != FINALIZER]
            try:
                with translated_failures(not_found=Gone, expected=_REFUSED):
                    self._store(await self._edit([_finalizers(*others)]))
            except ApiException:
                await self.read()
        raise RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "the API server does not remove the finalizer. Trying again")

    @property
    def _has_finalizer(self) -> bool:
        return FINALIZER in self._version.finalizers

    @property
    def _takes_no_finalizer(self) -> bool:
        """Whether it is too late for a finalizer, because the resource is being deleted."""
        return self._version.deleted is not None and not self._has_finalizer

    async def _edit(self, operations: Sequence[Operation]) -> "_Body":
        """Apply a JSON patch to the resource, if its version is still the known one."""
        body = await self._api.patch_namespaced_custom_object(
            GROUP,
            VERSION,
            self.namespace,
            PLURAL,
            self.name,
            [*self._known_version(), *operations],
            _content_type=_JSON_PATCH,
            _request_timeout=REQUEST_SECONDS,
        )
        return _Body.model_validate(body)

    async def _patch_status(self, status: QueueRecoveryStatus) -> "_Body":
        value = status.model_dump(mode="json", by_alias=True, exclude_none=True)
        body = await self._api.patch_namespaced_custom_object_status(
            GROUP,
            VERSION,
            self.namespace,
            PLURAL,
            self.name,
            [*self._known_version(), {"op": "add", "path": "/status", "value": value}],
            _content_type=_JSON_PATCH,
            _request_timeout=REQUEST_SECONDS,
        )
        return _Body.model_validate(body)

    def _known_version(self) -> list[Operation]:
        return [
            {"op": "test", "path": "/metadata/uid", "value": self.uid},
            {"op": "test", "path": "/metadata/resourceVersion", "value": self._version.resource_version},
        ]

    def _store(self, parsed: _Body) -> None:
        """Record the resource as the API server has just returned it."""
        self._version = parsed.metadata
        self._status = parsed.status
        self._update(_desired(parsed))

    def _update(self, desired: DesiredState) -> None:
        if desired != self._desired:
            self._desired = desired
            self._received.set()


def is_finished(body: Mapping[str, Any]) -> bool:
    """Return whether nothing is left to do for a resource.

    It has ended, its newest spec was observed, and it has no finalizer.
    """
    metadata, status = body["metadata"], body.get("status", {})
    return (
        "completionTime" in status
        and status.get("observedGeneration") == metadata.get("generation")
        and FINALIZER not in metadata.get("finalizers", ())
    )


def has_begun(body: Mapping[str, Any]) -> bool:
    """Return whether the recovery has changed anything, or is going to end."""
    return not {"drainStartTime", "ending", "completionTime"}.isdisjoint(body.get("status", {}))


def is_deleted(body: Mapping[str, Any]) -> bool:
    """Return whether the resource is being deleted."""
    return "deletionTimestamp" in body["metadata"]


def needs_finalizer(status: QueueRecoveryStatus) -> bool:
    """Return whether a status has effects that a deletion has to wait for."""
    return status.drain_start_time is not None and status.completion_time is None


def _finalizers(*names: str) -> Operation:
    return {"op": "add", "path": "/metadata/finalizers", "value": list(names)}


def annotations_of(body: Mapping[str, Any]) -> Annotations:
    """Return what users say in a resource's annotations."""
    return _said(_Annotations.model_validate(body["metadata"].get("annotations") or {}))


def proposed_for(body: Mapping[str, Any]) -> str:
    """Return for which cause a recovery was proposed, as its label says; empty: for none."""
    return _Labels.model_validate(body["metadata"].get("labels") or {}).proposed_for


def _said(annotations: _Annotations) -> Annotations:
    return Annotations(
        approve=annotations.approve[:LONGEST_ANNOTATION],
        approver=annotations.approver[:LONGEST_ANNOTATION],
        author=annotations.author[:LONGEST_ANNOTATION],
    )


def _desired(body: _Body) -> DesiredState:
    return DesiredState(
        spec=body.spec,
        generation=body.metadata.generation,
        deleting=body.metadata.deleted is not None,
        annotations=_said(body.metadata.annotations),
        proposed_for=body.metadata.labels.proposed_for,
    )
