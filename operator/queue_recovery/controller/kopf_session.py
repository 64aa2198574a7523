"""kopf's connection to the API server: configured as the operator's own, and patient.

kopf ends when a list or a watch is refused, as while its CustomResourceDefinition is missing, and asks only once which
resources the server has. So its reads are answered here when they succeed; `Watches` is told why they do not yet.
"""

import asyncio
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import kopf
from aiohttp import hdrs
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.base import API_VERSION, GROUP
from queue_recovery.controller.watches import NOT_GRANTED, NOT_SERVED, PLURALS, Failure, Watched, Watches, failed

_ATTEMPT_SECONDS = 60.0
"""How long one try of a request may take: its whole answer, or the beginning of a watch."""

_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try; the last one stays."""

_GROUPS: Final = "/apis"
_RESOURCES: Final = f"/apis/{API_VERSION}"

_OK: Final = 200
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404
_TOO_MANY: Final = 429
_SERVER_ERRORS: Final = 500


def open_session(api: ApiClient, watches: Watches) -> kopf.AiohttpSession:
    """Return a connection with the configuration of `api`; kopf closes it when it ends or asks for another one."""
    configuration = api.configuration
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=api.rest_client.ssl_context),
        proxy=configuration.proxy,
        trust_env=True,  # proxies in the environment, as the client does
        middlewares=(_Patience(configuration, watches),),
    )
    return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)


@dataclass(frozen=True)
class _Asked:
    """What a request is for."""

    path: str
    """Below the server's own."""
    reads: bool
    which: Watched | None = None
    """What is listed or watched."""
    watches: bool = False


class _Patience:
    """A middleware that sends each request with the newest token, and a read again and again until it succeeds."""

    def __init__(self, configuration: Configuration, watches: Watches) -> None:
        self._configuration = configuration
        self._watches = watches
        self._base = urlsplit(configuration.host).path.rstrip("/")

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        asked = self._asked(request)
        if asked.which is not None:
            self._watches.begins(asked.which)
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            answer = await self._attempt(request, handler, asked)
            if not isinstance(answer, Failure):
                if asked.which is not None and asked.watches and answer.ok:
                    self._watches.succeeds(asked.which)
                return answer
            if asked.reads and not request.session.closed:
                self._watches.fails(answer, asked.which)
            await asyncio.sleep(pause)
            if request.session.closed:
                raise RuntimeError("Session is closed")  # as aiohttp says it: kopf then sends it through the next one
        raise AssertionError("there is always another try")

    def _asked(self, request: aiohttp.ClientRequest) -> _Asked:
        path = request.url.path.removeprefix(self._base)
        reads = request.method == hdrs.METH_GET
        match path.removeprefix(f"{_RESOURCES}/").split("/"):
            case [plural] if reads and plural in PLURALS:
                which = Watched(plural, None)
            case ["namespaces", namespace, plural] if reads and plural in PLURALS:
                which = Watched(plural, namespace)
            case _:
                return _Asked(path, reads)
        return _Asked(path, reads, which, watches="watch" in request.url.query)

    async def _attempt(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, asked: _Asked
    ) -> aiohttp.ClientResponse | Failure:
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                token = await self._configuration.get_api_key_with_prefix("BearerToken")
                if token is not None:
                    request.headers[hdrs.AUTHORIZATION] = token
                request.server_hostname = self._configuration.tls_server_name
                response = await handler(request)
                if not asked.watches:
                    await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not asked.reads:
                raise
            return failed(f"does not answer ({type(error).__name__})")
        failure = await _failure(response, asked)
        if failure is not None:
            response.close()
        return failure or response


async def _failure(response: aiohttp.ClientResponse, asked: _Asked) -> Failure | None:
    """Return why the answer is not the one that kopf needs; what is left to kopf is none."""
    if response.status == _UNAUTHORIZED:  # kopf would log in again and again without a pause
        return failed("refuses the token (401)")
    if not asked.reads:
        return None
    if response.status == _FORBIDDEN and asked.which is not None:
        return NOT_GRANTED
    if response.status in {_FORBIDDEN, _TOO_MANY} or response.status >= _SERVER_ERRORS:
        return failed(f"answers {response.status}")
    return None if await _is_served(response, asked) else NOT_SERVED


async def _is_served(response: aiohttp.ClientResponse, asked: _Asked) -> bool:
    """Tell whether the API server knows the resources, as far as the request is about them."""
    if response.status == _NOT_FOUND:
        return asked.which is None and asked.path != _RESOURCES
    if response.status != _OK:
        return True
    if asked.path == _GROUPS:
        return GROUP in {group["name"] for group in (await response.json())["groups"]}
    if asked.path == _RESOURCES:
        return {resource["name"] for resource in (await response.json())["resources"]}.issuperset(PLURALS)
    return True
