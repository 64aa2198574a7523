"""Calls of a server on which nothing depends, so that no error of them may delay a recovery."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.status import StoredStatus

_LOG = logging.getLogger(__name__)


@contextmanager
def best_effort(recovery: StoredStatus, what: str) -> Iterator[None]:
    """Suppress every error, even one that a driver's room should have translated; a cancellation passes.

    The place of an unexpected error is logged, once for each `what` of a recovery.

    Args:
        recovery: for the log.
        what: what is done, for the log.
    """
    try:
        yield
    except (TimeoutError, RecoveryError):
        pass
    except Exception as error:  # noqa: BLE001  # any that a driver raises
        log_unexpected(recovery, what, error)


def log_unexpected(recovery: StoredStatus, what: str, error: Exception) -> None:
    """Log the place of an unexpected error, once for each `what` of a recovery; the log has no texts of errors."""
    if what in recovery.reported_errors:
        return
    recovery.reported_errors.add(what)
    about = {
        "namespace": recovery.resource.namespace,
        "recovery": recovery.resource.name,
        "reason": Reason.INTERNAL_ERROR,
    }
    _LOG.error("%s met an unexpected error. Please report it", what, exc_info=error, extra=about)
