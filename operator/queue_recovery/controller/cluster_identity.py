"""The identity of the cluster, stored in brokers because clusters may share them."""

import hashlib
import math
import time
from http import HTTPStatus
from pathlib import Path
from typing import Final

from kubernetes.aio.client import ApiClient, ApiException, CoreV1Api

from queue_recovery.workers.api_errors import translated_failures
from queue_recovery.workers.calls import REQUEST_SECONDS

_OLDEST_NAMESPACE: Final = "kube-system"
_ASK_AGAIN: Final = 60.0
"""Seconds until a permission that the operator did not have is tried again."""


def cluster_identity(api: ApiClient) -> str:
    """Return a digest of the authority that signs the API server's certificate.

    It needs no permission (the UID of a namespace does), is mounted into every pod, and survives a reinstallation of
    the operator. Without an authority the server's address takes its place.
    """
    configuration = api.configuration
    authority = configuration.ssl_ca_cert
    identity = Path(authority).read_bytes() if authority else str(configuration.host).encode()
    return hashlib.sha256(identity).hexdigest()[:16]


class ClusterUID:
    """The UID of the cluster's first namespace, which no other cluster has.

    Clusters may share the authority that `cluster_identity` uses. So another authority proves another cluster, but the
    same authority does not prove the same cluster.
    """

    def __init__(self, api: ApiClient) -> None:
        """Take the connection."""
        self._api = CoreV1Api(api)
        self._uid: str | None = None
        self._refused = -math.inf

    async def read(self) -> str | None:
        """Return the UID, read once; None: the operator may not read it.

        Raises RecoveryError (`KubernetesUnavailable`).
        """
        if self._uid is None and time.monotonic() - self._refused >= _ASK_AGAIN:
            try:
                with translated_failures(expected=(HTTPStatus.FORBIDDEN,)):
                    found = await self._api.read_namespace(_OLDEST_NAMESPACE, _request_timeout=REQUEST_SECONDS)
            except ApiException:
                self._refused = time.monotonic()
                return None
            self._uid = found.metadata.uid if found.metadata else None
        return self._uid
