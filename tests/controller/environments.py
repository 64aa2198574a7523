"""The environment of a recovery, for a test that needs no cluster behind it."""

import base64
from collections.abc import Mapping

from kubernetes.aio.client import ApiClient
from typing_extensions import override

from queue_recovery.controller.environment import KubernetesEnvironment
from queue_recovery.controller.namespace_caches import NamespaceCaches
from queue_recovery.controller.secrets import SecretData, SecretReader
from queue_recovery.recovery.destinations import ANYWHERE, Destinations
from queue_recovery.workers.connections import Connections
from queue_recovery.workers.permissions import ServiceAccount


class GivenSecrets(SecretReader):
    """Secrets with the keys and values that a test gives."""

    def __init__(self, api: ApiClient, values: Mapping[str, Mapping[str, str]]) -> None:
        super().__init__(api, "media", ServiceAccount(), lambda *_: None)
        self._values = values
        self.names_read: list[str] = []

    @override
    async def read(self, name: str, field: str) -> SecretData:
        self.names_read.append(name)
        return {key: base64.b64encode(value.encode()).decode() for key, value in self._values[name].items()}


def environment_of(
    api: ApiClient,
    *,
    namespace: str = "media",
    destinations: Destinations = ANYWHERE,
    secrets: SecretReader | None = None,
) -> KubernetesEnvironment:
    """Return the environment of a namespace, over one connection."""
    caches = NamespaceCaches(Connections.all_by(api), namespace, ServiceAccount())
    return KubernetesEnvironment(api, caches, cluster="", destinations=destinations, secrets=secrets)
