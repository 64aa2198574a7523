"""A world of a recovery, for a test that needs no cluster behind it."""

from typing import TypeVar

from kubernetes.aio.client import ApiClient

from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.shared import Shared
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.permissions import ServiceAccount

EnvironmentT = TypeVar("EnvironmentT", bound=KubernetesEnvironment)


def environment_of(
    kind: type[EnvironmentT], api: ApiClient, *, namespace: str = "media", destinations: Destinations = ANYWHERE
) -> EnvironmentT:
    """Return the world of a namespace, over one connection."""
    shared = Shared(Connections.all_by(api), namespace, ServiceAccount())
    return kind(api, shared, cluster="", destinations=destinations)
