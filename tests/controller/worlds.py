"""A world of a recovery, for a test that needs no cluster behind it."""

from typing import TypeVar

from kubernetes.aio.client import ApiClient

from queue_recovery.controller.shared import Shared
from queue_recovery.controller.world import KubernetesWorld
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.permissions import ServiceAccount

WorldT = TypeVar("WorldT", bound=KubernetesWorld)


def world_of(
    kind: type[WorldT], api: ApiClient, *, namespace: str = "media", destinations: Destinations = ANYWHERE
) -> WorldT:
    """Return the world of a namespace, over one connection."""
    shared = Shared(Connections.all_by(api), namespace, ServiceAccount())
    return kind(api, shared, cluster="", destinations=destinations)
