"""kopf's connection to the API server, which repeats reads until they succeed.

kopf exits when a list or a watch is refused, as while its CustomResourceDefinition is missing, and asks only once which
resources the server has. So its reads are answered only when they succeed; `Watches` records why they do not yet.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain, repeat
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import kopf
from aiohttp import hdrs
from kubernetes.aio.client import ApiClient, Configuration

from queue_recovery.api.base import API_VERSION, GROUP
from queue_recovery.controller.watches import NOT_GRANTED, NOT_SERVED, PLURALS, Failure, Watched, Watches, failed
from queue_recovery.workers.api_errors import CONNECTION_ERRORS, no_answer

_ATTEMPT_SECONDS = 60.0
"""How long one try of a request may take: its whole answer, or the start of a watch."""

_PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try; the last one repeats."""

_GROUPS: Final = "/apis"
_RESOURCES: Final = f"/apis/{API_VERSION}"


def open_session(api: ApiClient, watches: Watches) -> kopf.AiohttpSession:
    """Return a session with the configuration of `api`; kopf closes it."""
    configuration = api.configuration
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=api.rest_client.ssl_context),
        proxy=configuration.proxy,
        trust_env=True,  # proxies in the environment, as the client does
        middlewares=(_RetryMiddleware(configuration, watches),),
    )
    return kopf.AiohttpSession(server=configuration.host, aiohttp_session=session)


@dataclass(frozen=True)
class _Purpose:
    """What a request is for."""

    path: str
    """Below the path of the server's URL."""
    reads: bool
    which: Watched | None = None
    """The list or watch that it is, if any."""
    watches: bool = False


class _RetryMiddleware:
    """Sends each request with the newest token, and repeats a read until it succeeds."""

    def __init__(self, configuration: Configuration, watches: Watches) -> None:
        self._configuration = configuration
        self._watches = watches
        self._base = urlsplit(configuration.host).path.rstrip("/")

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        purpose = self._purpose_of(request)
        if purpose.which is not None:
            self._watches.begins(purpose.which)
        for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
            answer = await self._attempt(request, handler, purpose)
            if not isinstance(answer, Failure):
                if purpose.which is not None and purpose.watches and answer.ok:
                    self._watches.succeeds(purpose.which)
                return answer
            if purpose.reads and not request.session.closed:
                self._watches.fails(answer, purpose.which)
            await asyncio.sleep(pause)
            if request.session.closed:
                raise RuntimeError("Session is closed")  # as aiohttp says it: kopf then sends it through the next one
        raise AssertionError("there is always another try")

    def _purpose_of(self, request: aiohttp.ClientRequest) -> _Purpose:
        path = request.url.path.removeprefix(self._base)
        reads = request.method == hdrs.METH_GET
        match path.removeprefix(f"{_RESOURCES}/").split("/"):
            case [plural] if reads and plural in PLURALS:
                which = Watched(plural, None)
            case ["namespaces", namespace, plural] if reads and plural in PLURALS:
                which = Watched(plural, namespace)
            case _:
                return _Purpose(path, reads)
        return _Purpose(path, reads, which, watches="watch" in request.url.query)

    async def _attempt(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, purpose: _Purpose
    ) -> aiohttp.ClientResponse | Failure:
        try:
            async with asyncio.timeout(_ATTEMPT_SECONDS):
                token = await self._configuration.get_api_key_with_prefix("BearerToken")
                if token is not None:
                    request.headers[hdrs.AUTHORIZATION] = token
                request.server_hostname = self._configuration.tls_server_name
                response = await handler(request)
                if not purpose.watches:
                    await response.read()
        except CONNECTION_ERRORS as error:
            if not purpose.reads:
                raise
            return failed(no_answer(error))
        failure = await _failure(response, purpose)
        if failure is not None:
            response.close()
        return failure or response


async def _failure(response: aiohttp.ClientResponse, purpose: _Purpose) -> Failure | None:
    """Return why the read has to be repeated; None: kopf gets the answer."""
    if response.status == HTTPStatus.UNAUTHORIZED:  # kopf would log in again and again without a pause
        return failed("refuses the operator's token (401)")
    if not purpose.reads:
        return None
    if response.status == HTTPStatus.FORBIDDEN and purpose.which is not None:
        return NOT_GRANTED
    if (
        response.status in {HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
        or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        return failed(f"answers {response.status}")
    return None if await _is_served(response, purpose) else NOT_SERVED


async def _is_served(response: aiohttp.ClientResponse, purpose: _Purpose) -> bool:
    """Return whether the API server serves the resources that the request is about."""
    if response.status == HTTPStatus.NOT_FOUND:
        return purpose.which is None and purpose.path != _RESOURCES
    if response.status != HTTPStatus.OK:
        return True
    if purpose.path == _GROUPS:
        return GROUP in {group["name"] for group in (await response.json())["groups"]}
    if purpose.path == _RESOURCES:
        return {resource["name"] for resource in (await response.json())["resources"]}.issuperset(PLURALS)
    return True
