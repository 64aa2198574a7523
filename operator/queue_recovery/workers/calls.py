"""Calls through the client's `..._without_preload_content` methods.

Those raise nothing for an answer with an error.
"""

from collections.abc import Awaitable
from http import HTTPStatus
from typing import Final

import aiohttp
from kubernetes.aio.client import ApiException

REQUEST_SECONDS: Final = 10.0
"""How long an ordinary call may take. The client takes no pair of numbers here."""


async def opened(call: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    """Make a call, and return its response with the body still to be read.

    Raises:
        ApiException: the server answered with an error; the exception has its status alone.
    """
    response = await call
    if response.status >= HTTPStatus.BAD_REQUEST:
        response.close()
        raise ApiException(response.status)
    return response


async def answer(call: Awaitable[aiohttp.ClientResponse]) -> bytes:
    """Make a call and return the whole answer; raises as `opened` does."""
    response = await opened(call)
    return await response.read()


async def bounded_answer(call: Awaitable[aiohttp.ClientResponse], most: int) -> bytes | None:
    """Make a call and return the whole answer; None: it is longer than `most` bytes, and its rest was not read."""
    response = await opened(call)
    body = bytearray()
    try:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > most:
                return None
    finally:
        response.close()
    return bytes(body)
