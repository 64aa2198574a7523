"""The autoscalers of one namespace, as `recovery.ports.Autoscalers` describes them."""

import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from typing import Final

from aiohttp import ClientResponse
from kubernetes.aio.client import ApiException, AutoscalingV2Api, CustomObjectsApi

from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import DEPLOYMENT, WorkerRef
from queue_recovery.recovery.errors import DENIED, RecoveryError
from queue_recovery.recovery.ports.autoscalers import Autoscaler, Autoscaling, PausedBy, ScaledObject
from queue_recovery.workers.api_errors import API_ERRORS, to_recovery_error
from queue_recovery.workers.autoscaler_objects import (
    HorizontalPodAutoscaler,
    KedaScaledObject,
    ScaleTargetRef,
    all_paused_by,
    is_frozen,
    labelled_by,
    pausing,
    unpausing,
)
from queue_recovery.workers.calls import REQUEST_SECONDS, answer
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.held_objects import ATTEMPTS, fenced, release_fields
from queue_recovery.workers.namespace import Conflict, Namespace, NotFound
from queue_recovery.workers.objects import ObjectList, ObjectT
from queue_recovery.workers.resources import Writable, by_name

_KEDA: Final = ("keda.sh", "v1alpha1")

_SCALED_OBJECTS: Final = (*_KEDA, "scaledobjects")

_ASK_AGAIN_SECONDS: Final = 60.0
"""After which a list is asked for again that the API server does not know, or denies."""

_UNKNOWN: Final = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN})


class KubernetesAutoscalers:
    """The autoscalers of one namespace, for all of its recoveries. Implements `recovery.ports.Autoscalers`."""

    def __init__(self, connections: Connections, namespace: Namespace) -> None:
        """Take the connections and the namespace."""
        self._namespace = namespace
        self._hpas: Callable[..., Awaitable[ClientResponse]] = AutoscalingV2Api(
            connections.ordinary
        ).list_namespaced_horizontal_pod_autoscaler_without_preload_content
        ordinary, writes = CustomObjectsApi(connections.ordinary), CustomObjectsApi(connections.writes)
        self._listed = ordinary.list_namespaced_custom_object_without_preload_content
        self._scaled_object = Writable(
            partial(by_name, writes.get_namespaced_custom_object_without_preload_content, _SCALED_OBJECTS),
            partial(by_name, writes.patch_namespaced_custom_object_without_preload_content, _SCALED_OBJECTS),
            KedaScaledObject,
        )
        self._ask_again: dict[type, float] = {}

    async def look(self, workers: Sequence[WorkerRef]) -> Autoscaling:
        """See `recovery.ports.Autoscalers`; sends two requests, and one where KEDA is not installed."""
        hpas = await self._list(ObjectList[HorizontalPodAutoscaler], self._hpas, self._namespace.name)
        scaled_objects = await self._list(
            ObjectList[KedaScaledObject], self._listed, *_KEDA, self._namespace.name, "scaledobjects"
        )
        return Autoscaling(
            scaled_objects=[
                ScaledObject(
                    name=one.metadata.name,
                    uid=one.metadata.uid,
                    resource_version=one.metadata.resource_version,
                    is_paused=is_frozen(one),
                    paused_by=next(iter(all_paused_by(one)), None),
                    is_labelled=labelled_by(one) is not None,
                )
                for one in scaled_objects
                if _scaled(one.spec.scale_target_ref, workers) is not None
            ],
            # KEDA deletes its own ones when it is paused.
            from_zero=[
                Autoscaler(name=one.metadata.name, worker=worker)
                for one in hpas
                if one.spec.min_replicas == 0
                and (worker := _scaled(one.spec.scale_target_ref, workers)) is not None
                and (one.metadata.controller is None or one.metadata.controller.kind != "ScaledObject")
            ],
        )

    async def pause(self, scaled_object: ScaledObject, by: PausedBy) -> None:
        """See `recovery.ports.Autoscalers`."""
        name = scaled_object.name
        try:
            with self._keda_named(name):
                found = await self._namespace.read(self._scaled_object, name)
                if found.metadata.resource_version != scaled_object.resource_version:
                    raise _changed(name)
                await self._namespace.merge(self._scaled_object, name, pausing(found, by))
        except (Conflict, NotFound):
            raise _changed(name) from None

    async def unpause(self, name: str, uid: str, *run_uids: str) -> None:
        """See `recovery.ports.Autoscalers`; raises RecoveryError (`WorkerChanged`) when each try conflicts."""
        for _ in range(ATTEMPTS):
            try:
                with self._keda_named(name):
                    await self._unpause(name, uid, run_uids)
            except Conflict:
                continue
            except NotFound:
                pass
            return
        raise _changed(name)

    async def _unpause(self, name: str, uid: str, run_uids: Collection[str]) -> None:
        found = await self._namespace.read(self._scaled_object, name)
        by = all_paused_by(found)
        if any(one.uid in run_uids for one in by):
            written = await self._namespace.merge(self._scaled_object, name, unpausing(found))
            await release_fields(self._namespace, self._scaled_object, written)
        elif found.metadata.uid == uid:
            try:
                written = await fenced(self._namespace, self._scaled_object, found)
            except RecoveryError as error:
                if error.reason not in DENIED:
                    raise
                return  # a late pause is denied as well
            if not by:
                await release_fields(self._namespace, self._scaled_object, written)

    @contextmanager
    def _keda_named(self, name: str) -> Iterator[None]:
        """Raise what the API server denies of a ScaledObject with what grants it: it is not in the tenant's role."""
        try:
            yield
        except RecoveryError as error:
            if error.reason is not Reason.FORBIDDEN:
                raise
            where = self._namespace.name
            raise RecoveryError(
                Reason.FORBIDDEN,
                f'the API server denies the change of ScaledObject "{name}" in namespace "{where}" (403). Grant '
                f"access: kubectl apply -n {where} -k manifests/keda. If that is done, an admission policy or KEDA's "
                "own webhook denies the change; this shows which, and why: "
                f"kubectl label scaledobjects.keda.sh {name} -n {where} test=test --dry-run=server",
            ) from None

    async def _list(
        self, kind: type[ObjectList[ObjectT]], call: Callable[..., Awaitable[ClientResponse]], *where: str
    ) -> Sequence[ObjectT]:
        """Return a collection; empty while the API server does not know or denies it."""
        if time.monotonic() < self._ask_again.get(kind, 0):
            return ()
        try:
            return kind.model_validate_json(await answer(call(*where, _request_timeout=REQUEST_SECONDS))).items
        except API_ERRORS as error:
            if isinstance(error, ApiException) and error.status in _UNKNOWN:
                self._ask_again[kind] = time.monotonic() + _ASK_AGAIN_SECONDS
                return ()
            raise to_recovery_error(error) from None


def _scaled(target: ScaleTargetRef, workers: Sequence[WorkerRef]) -> WorkerRef | None:
    """Return the worker that an autoscaler scales."""
    wanted = (target.group, target.kind or DEPLOYMENT.kind, target.name)
    return next((one for one in workers if (one.gvk.group, one.kind, one.name) == wanted), None)


def _changed(name: str) -> RecoveryError:
    return RecoveryError(Reason.WORKER_CHANGED, f'ScaledObject "{name}" was changed at the same time. Reading it again')
