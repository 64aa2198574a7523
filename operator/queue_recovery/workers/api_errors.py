"""What an error of the API server means for a recovery.

Nothing of the server's own text is passed on: an admission webhook may put anything there.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

import aiohttp
from kubernetes.aio.client import ApiException
from pydantic import ValidationError

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError

CONNECTION_ERRORS: Final = (aiohttp.ClientError, TimeoutError, OSError)

API_ERRORS: Final = (ApiException, *CONNECTION_ERRORS, ValidationError)
"""What `to_recovery_error` takes."""

_OWN_ROLE: Final = (
    "the API server denies the operator's request (403). Bind the ClusterRole queue-recovery to the operator's "
    "ServiceAccount (kubectl apply -k manifests/operator), or see which admission policy denies it"
)


def to_recovery_error(
    error: Exception, *, forbidden: RecoveryError | None = None, refused: Reason = Reason.KUBERNETES_UNAVAILABLE
) -> RecoveryError:
    """Return the error of a recovery that one of `API_ERRORS` leads to.

    Args:
        error: how the call ended; a ValidationError means that the answer was not a Kubernetes object.
        forbidden: the error for a missing permission (403); the default names the operator's own ClusterRole.
        refused: the reason for a request that the server does not accept as it is (4xx without a meaning of its own).
    """
    if isinstance(error, ValidationError):
        return RecoveryError(
            Reason.KUBERNETES_UNAVAILABLE,
            "the API server's answer is not a Kubernetes object; a proxy may have answered. Trying again",
        )
    if not isinstance(error, ApiException):
        return RecoveryError(Reason.KUBERNETES_UNAVAILABLE, f"the API server {no_answer(error)}. Trying again")
    status = error.status
    if status == HTTPStatus.FORBIDDEN:
        return forbidden or RecoveryError(Reason.FORBIDDEN, _OWN_ROLE)
    if status == HTTPStatus.UNAUTHORIZED:
        return RecoveryError(
            Reason.KUBERNETES_UNAVAILABLE,
            "the API server refuses the operator's token (401). Trying again; if this lasts, check the operator's "
            "ServiceAccount",
        )
    if _may_pass(status):
        return RecoveryError(Reason.KUBERNETES_UNAVAILABLE, f"the API server answers {status}. Trying again")
    return RecoveryError(
        refused,
        f"the API server refuses the operator's request ({status}). See which admission policy or webhook denies it",
    )


@contextmanager
def translated_failures(
    *, not_found: type[Exception] | None = None, forbidden: RecoveryError | None = None, expected: Collection[int] = ()
) -> Iterator[None]:
    """Raise the client's exceptions as RecoveryError.

    Args:
        not_found: what a 404 is raised as.
        forbidden: see `to_recovery_error`.
        expected: statuses of which the ApiException is raised as it is.
    """
    try:
        yield
    except ApiException as error:
        if error.status in expected:
            raise
        if not_found is not None and error.status == HTTPStatus.NOT_FOUND:
            raise not_found from None
        raise to_recovery_error(error, forbidden=forbidden) from None
    except CONNECTION_ERRORS as error:
        raise to_recovery_error(error) from None


def no_answer(error: Exception) -> str:
    """Describe one of `CONNECTION_ERRORS`, as `the API server` does something."""
    return "does not answer in time" if isinstance(error, TimeoutError) else "cannot be reached"


def _may_pass(status: int) -> bool:
    return status in {HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS} or status >= HTTPStatus.INTERNAL_SERVER_ERROR
