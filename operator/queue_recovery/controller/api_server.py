"""The connections to the API server: address, certificates, credentials, limits."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.client.rest import RESTClientObject, RESTResponse
from kubernetes.aio.config import kube_config
from typing_extensions import override

from queue_recovery.workers.connections import Connections

GRACE = 15.0
"""Seconds for which the API server may fail before that is reported as lasting.

After its start it refuses for a moment what depends on RBAC and CustomResourceDefinitions that it has not loaded yet.
"""

_POD_TOKEN_SECONDS = 10.0
"""How long a pod's token is used before its file is read again; the kubelet may renew it late."""

_KUBECONFIG_SECONDS = 60.0
"""The same for a kubeconfig, which may run a credential plugin each time."""

_ORDINARY_AT_ONCE = 32
"""Concurrent requests; more of them would only compete for the same processor."""

_WRITES_AT_ONCE = 16
"""Concurrent reads and writes of Deployments that are scaled down or back."""


class NoApiServer(Exception):
    """No API server is configured, or its configuration cannot be used.

    The message is one line without a secret.
    """


class _LimitedConcurrency(RESTClientObject):
    """Sends a limited number of requests at once.

    The timeout of a request begins when it is sent.
    """

    def __init__(self, configuration: Configuration, at_once: int) -> None:
        super().__init__(configuration)
        self._slots = asyncio.Semaphore(at_once)

    @override
    async def request(self, *args: Any, **kwargs: Any) -> RESTResponse | aiohttp.ClientResponse:
        async with self._slots:
            return await super().request(*args, **kwargs)  # type: ignore[no-untyped-call, no-any-return]


async def connect() -> ApiClient:
    """Connect as the pod's ServiceAccount, or outside a cluster with the kubeconfig.

    The token is read again while the connection is in use.

    Raises:
        NoApiServer: neither of them exists, or it cannot be used.
    """
    return _client(await _configuration())


@asynccontextmanager
async def connections() -> AsyncIterator[Connections]:
    """Connect as `connect` does, once for each kind of request."""
    configuration = await _configuration()
    configuration.connection_pool_maxsize = 0  # no limit: watches are bounded by what is watched, the rest by slots
    async with _client(configuration) as ordinary, _client(configuration) as writes, _client(configuration) as watches:
        ordinary.rest_client = _LimitedConcurrency(configuration, _ORDINARY_AT_ONCE)
        writes.rest_client = _LimitedConcurrency(configuration, _WRITES_AT_ONCE)
        yield Connections(ordinary=ordinary, watches=watches, writes=writes)


async def _configuration() -> Configuration:
    configuration = await _read()
    configuration.refresh_api_key_hook = _renewal()  # type: ignore[assignment]  # the library types it as None
    return configuration


def _client(configuration: Configuration) -> ApiClient:
    try:
        return ApiClient(configuration)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise _unusable("a certificate in it is not valid") from None


def _in_pod() -> bool:
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


async def _read() -> Configuration:
    """Read address, authority and credentials; raises NoApiServer."""
    configuration = Configuration(host="")
    if _in_pod():
        try:
            # Not its own renewal: that one keeps a token for a minute, longer than a short-lived one may have left.
            config.load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration, try_refresh_token=False
            )
        except (config.ConfigException, OSError) as error:
            raise _unusable(str(error)) from None
        return configuration
    await _read_kubeconfig(configuration)
    return configuration


async def _read_kubeconfig(configuration: Configuration) -> None:
    paths = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
    if not any(os.access(path, os.F_OK) for path in paths.split(os.pathsep)):
        raise NoApiServer(
            "no cluster is configured: this is not a pod (KUBERNETES_SERVICE_HOST is not set), and there is no "
            f'kubeconfig "{paths}". Install the operator with kubectl apply -k manifests/, or set KUBECONFIG'
        )
    try:
        await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
    except Exception:  # noqa: BLE001  # a broken file can lead to any error of the library
        # Its text may quote the file, and so a token.
        raise _unusable("it is not a valid kubeconfig") from None
    server = urlsplit(configuration.host)
    if server.scheme not in {"http", "https"} or not server.hostname:
        raise _unusable("its server is not a URL")


def _unusable(why: str) -> NoApiServer:
    if _in_pod():
        what, remedy = "the pod's mounted ServiceAccount", "Set automountServiceAccountToken: true in the pod"
    else:
        paths = kube_config.KUBE_CONFIG_DEFAULT_LOCATION
        what, remedy = f'the kubeconfig "{paths}"', f"Check it with kubectl --kubeconfig={paths} version"
    return NoApiServer(f"{what} cannot be used ({why.rstrip('.')}). {remedy}")


def _renewal() -> Callable[[Configuration], Awaitable[None]]:
    """Return the client's hook before each request, which renews an old token."""
    seconds = _POD_TOKEN_SECONDS if _in_pod() else _KUBECONFIG_SECONDS
    last = time.monotonic()

    async def renew(configuration: Configuration) -> None:
        nonlocal last
        if time.monotonic() - last < seconds:
            return
        last = time.monotonic()
        with suppress(NoApiServer):  # the old one is used until the server refuses it
            configuration.api_key = (await _read()).api_key

    return renew
