"""How one call to the API server ends, and what that means for a recovery.

Nothing of the server's own text is passed on: an admission webhook may put anything there.
"""

from collections.abc import Awaitable
from typing import Final

import aiohttp

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import NotYet, RecoveryError, Unavailable

SECONDS: Final = 10.0
"""How long an ordinary call may take. The client takes no pair of numbers here."""

CONFLICT: Final = 409
NOT_FOUND: Final = 404
GONE: Final = 410
_UNAUTHORIZED: Final = 401
_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429
_ERRORS: Final = 400
_SERVER_ERRORS: Final = 500

CONNECTION_ERRORS: Final = (aiohttp.ClientError, TimeoutError, OSError)


class Refused(Exception):
    """The API server answered with an error."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Unreachable(Exception):
    """The API server gave no answer that can be read."""


async def opened(call: Awaitable[aiohttp.ClientResponse]) -> aiohttp.ClientResponse:
    """Make a call, and return its response with the body still to be read.

    Raises:
        Refused: the server answered with an error.
        Unreachable: it did not answer.
    """
    try:
        response = await call
    except CONNECTION_ERRORS:
        raise Unreachable from None
    if response.status >= _ERRORS:
        response.close()
        raise Refused(response.status)
    return response


async def answer(call: Awaitable[aiohttp.ClientResponse]) -> bytes:
    """Make a call and return the whole answer; raises as `opened` does."""
    response = await opened(call)
    try:
        return await response.read()
    except CONNECTION_ERRORS:
        raise Unreachable from None


def meaning(error: Refused | Unreachable, *, forbidden: NotYet) -> RecoveryError:
    """Say what a failed call means for a recovery.

    Args:
        error: how it ended.
        forbidden: what to raise when the operator lacks a right; it names the remedy.
    """
    if isinstance(error, Unreachable):
        return Unavailable(Reason.KUBERNETES_UNAVAILABLE, "the Kubernetes API server does not answer; trying again")
    if error.status == _FORBIDDEN:
        return forbidden
    if error.status == _UNAUTHORIZED:
        return Unavailable(
            Reason.KUBERNETES_UNAVAILABLE, "the Kubernetes API server refuses the operator's token (401); trying again"
        )
    if error.status in {CONFLICT, _TOO_MANY} or error.status >= _SERVER_ERRORS:
        return Unavailable(
            Reason.KUBERNETES_UNAVAILABLE, f"the Kubernetes API server answers {error.status}; trying again"
        )
    return Unavailable(
        Reason.WORKER_WRITE_REFUSED,
        f"the Kubernetes API server refuses the operator's request ({error.status}); "
        "see which admission policy or webhook forbids it",
    )
