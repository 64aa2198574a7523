"""How each kind of object is listed, watched, read and patched; kinds outside `apps` are discovered first."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Generic

from aiohttp import ClientResponse
from kubernetes.aio.client import ApiException, AppsV1Api, CoreV1Api, CustomObjectsApi

from queue_recovery.api.base import Model
from queue_recovery.api.reasons import Reason
from queue_recovery.api.worker_ref import DEPLOYMENT, ROLLOUT, STATEFUL_SET, GroupVersionKind
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.workers.api_errors import API_ERRORS, to_recovery_error
from queue_recovery.workers.calls import REQUEST_SECONDS, answer
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.objects import Changed, ObjectList, ObjectT_co, Pod, ReplicaSet
from queue_recovery.workers.workloads import Deployment, Rollout, Scalable, Scale, StatefulSet, Workload

Call = Callable[..., Awaitable[ClientResponse]]
"""A method of the client that returns the response as it is."""


@dataclass(frozen=True)
class Kind(Generic[ObjectT_co]):
    """One collection of the namespace."""

    lists: Call
    watches: Call
    listed: type[ObjectList[ObjectT_co]]
    changed: type[Changed[ObjectT_co]]


@dataclass(frozen=True)
class Writable(Generic[ObjectT_co]):
    """One kind of object that is read and patched by name."""

    reads: Call
    patches: Call
    object: type[ObjectT_co]


@dataclass(frozen=True)
class WorkerResource:
    """How one kind of workers is reached."""

    plural: str
    collection: Kind[Workload]
    single: Writable[Workload]
    scale: Writable[Scale] | None = None
    """The `scale` subresource; None: there is none, or it is not read."""


class _Resource(Model):
    name: str
    kind: str = ""
    namespaced: bool = False


class _Resources(Model):
    resources: Sequence[_Resource] = ()


class Resources:
    """The kinds of objects that are read or written, over one set of connections."""

    def __init__(self, connections: Connections) -> None:
        """Take the connections; this sends no request."""
        self._connections = connections
        listed, watched, writes = (
            AppsV1Api(client) for client in (connections.ordinary, connections.watches, connections.writes)
        )
        self._workers = {
            DEPLOYMENT: WorkerResource(
                "deployments",
                Kind(
                    listed.list_namespaced_deployment_without_preload_content,
                    watched.list_namespaced_deployment_without_preload_content,
                    ObjectList[Deployment],
                    Changed[Deployment],
                ),
                Writable(
                    writes.read_namespaced_deployment_without_preload_content,
                    writes.patch_namespaced_deployment_without_preload_content,
                    Deployment,
                ),
            ),
            STATEFUL_SET: WorkerResource(
                "statefulsets",
                Kind(
                    listed.list_namespaced_stateful_set_without_preload_content,
                    watched.list_namespaced_stateful_set_without_preload_content,
                    ObjectList[StatefulSet],
                    Changed[StatefulSet],
                ),
                Writable(
                    writes.read_namespaced_stateful_set_without_preload_content,
                    writes.patch_namespaced_stateful_set_without_preload_content,
                    StatefulSet,
                ),
            ),
        }
        self.replica_sets = Kind(
            listed.list_namespaced_replica_set_without_preload_content,
            watched.list_namespaced_replica_set_without_preload_content,
            ObjectList[ReplicaSet],
            Changed[ReplicaSet],
        )
        self.pods = Kind(
            CoreV1Api(connections.ordinary).list_namespaced_pod_without_preload_content,
            CoreV1Api(connections.watches).list_namespaced_pod_without_preload_content,
            ObjectList[Pod],
            Changed[Pod],
        )

    @property
    def found(self) -> Mapping[GroupVersionKind, WorkerResource]:
        """The kinds of workers that were found; Deployments and StatefulSets always are."""
        return self._workers

    async def find(self, gvk: GroupVersionKind) -> WorkerResource:
        """Return how a kind of workers is reached; a kind outside `apps` is asked for once, as every user may.

        Raises:
            RecoveryError: `WorkerNotFound`, `KubernetesUnavailable`.
        """
        if gvk not in self._workers:
            self._workers[gvk] = await self._discover(gvk)
        return self._workers[gvk]

    async def _discover(self, gvk: GroupVersionKind) -> WorkerResource:
        listed: Sequence[_Resource] = ()
        ask = CustomObjectsApi(self._connections.ordinary).get_api_resources_without_preload_content
        try:
            body = await answer(ask(gvk.group, gvk.version, _request_timeout=REQUEST_SECONDS))
            listed = _Resources.model_validate_json(body).resources
        except API_ERRORS as error:
            if not isinstance(error, ApiException) or error.status != HTTPStatus.NOT_FOUND:
                raise to_recovery_error(error) from None
        names = [one.name for one in listed if one.kind == gvk.kind and one.namespaced and "/" not in one.name]
        if not names:
            raise RecoveryError(
                Reason.WORKER_NOT_FOUND,
                f'the API server has no namespaced kind "{gvk.kind}" in {gvk.api_version}. Install it, or correct '
                "apiVersion and kind of the worker in the target; a recovery that has stopped such a worker waits for "
                'that, see "A recovery that cannot end" in README.md',
            )
        (plural, *_) = names
        has_scale = any(one.name == f"{plural}/scale" for one in listed)
        return self._custom(gvk, plural, has_scale=has_scale)

    def _custom(self, gvk: GroupVersionKind, plural: str, *, has_scale: bool) -> WorkerResource:
        ordinary, watches, writes = (
            CustomObjectsApi(client)
            for client in (self._connections.ordinary, self._connections.watches, self._connections.writes)
        )
        of = (gvk.group, gvk.version, plural)
        lists = partial(listed, ordinary.list_namespaced_custom_object_without_preload_content, of)
        watched = partial(listed, watches.list_namespaced_custom_object_without_preload_content, of)
        reads = partial(by_name, writes.get_namespaced_custom_object_without_preload_content, of)
        patches = partial(by_name, writes.patch_namespaced_custom_object_without_preload_content, of)
        if gvk == ROLLOUT:
            collection: Kind[Workload] = Kind(lists, watched, ObjectList[Rollout], Changed[Rollout])
            return WorkerResource(plural, collection, Writable(reads, patches, Rollout))
        scaled = partial(by_name, ordinary.get_namespaced_custom_object_scale_without_preload_content, of)
        return WorkerResource(
            plural,
            Kind(lists, watched, ObjectList[Scalable], Changed[Scalable]),
            Writable(reads, patches, Scalable),
            Writable(scaled, scaled, Scale) if has_scale else None,
        )


def listed(call: Call, of: tuple[str, str, str], namespace: str, **options: object) -> Awaitable[ClientResponse]:
    """Call a method of the client for custom objects as one for a built-in kind.

    `of` is their group, version and plural.
    """
    group, version, plural = of
    return call(group, version, namespace, plural, **options)


def by_name(
    call: Call, of: tuple[str, str, str], name: str, namespace: str, *body: object, **options: object
) -> Awaitable[ClientResponse]:
    """The same for one custom object."""
    group, version, plural = of
    return call(group, version, namespace, plural, name, *body, **options)
