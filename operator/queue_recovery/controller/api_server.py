"""The connection to the API server, and what its errors mean here."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, ApiException, Configuration

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import Unavailable

REQUEST_TIMEOUT = 10.0
"""Seconds for one ordinary request; watches have their own."""

_NOT_FOUND = 404


async def connect() -> ApiClient:
    """Connect as the pod's ServiceAccount, or, outside of a cluster, as the kubeconfig says."""
    configuration = Configuration()
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    else:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    return ApiClient(configuration)


def cluster_identity(api: ApiClient) -> str:
    """Return what tells this cluster from others: a digest of the authority that signs its API server.

    It needs no permission (the UID of a namespace would), is mounted into every pod, and survives a new installation
    of the operator. Without an authority the server's address stands in.
    """
    configuration = api.configuration
    authority = configuration.ssl_ca_cert
    identity = Path(authority).read_bytes() if authority else str(configuration.host).encode()
    return hashlib.sha256(identity).hexdigest()[:16]


@contextmanager
def translated(*, gone: type[Exception] | None = None, expected: tuple[int, ...] = ()) -> Iterator[None]:
    """Turn the client's exceptions into Unavailable (`KubernetesUnavailable`).

    404 is raised as `gone` where one is given; the statuses in `expected` pass through.
    """
    try:
        yield
    except ApiException as error:
        if error.status in expected:
            raise
        if gone is not None and error.status == _NOT_FOUND:
            raise gone from None
        raise Unavailable(
            Reason.KUBERNETES_UNAVAILABLE, f"the API server answers {error.status}; trying again"
        ) from None
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unavailable(
            Reason.KUBERNETES_UNAVAILABLE, f"the API server does not answer ({type(error).__name__}); trying again"
        ) from None
