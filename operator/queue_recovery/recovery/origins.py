"""Adds the Secret and the key of a server's URL to errors of that server. Pure.

Only this module does so, because the packages that connect to a server have neither of the two names.
"""

from typing import Final

from queue_recovery.api.base import SecretKeyRef
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.recovery.errors import RecoveryError, Server

_SERVERS: Final[dict[str, Server]] = {
    Reason.INVALID_BROKER_URL: "broker",
    Reason.BROKER_IS_CLUSTER: "broker",
    Reason.BROKER_UNAVAILABLE: "broker",
    Reason.BROKER_AUTHENTICATION_FAILED: "broker",
    Reason.BROKER_CERTIFICATE_REFUSED: "broker",
    Reason.PRIMARY_NOT_FOUND: "broker",
    Reason.BROKER_READ_ONLY: "broker",
    Reason.BROKER_PERMISSION_DENIED: "broker",
    Reason.BROKER_REPLY_TOO_LARGE: "broker",
    Reason.INVALID_JOB_STORE_URL: "job store",
    Reason.JOB_STORE_UNAVAILABLE: "job store",
    Reason.JOB_STORE_CERTIFICATE_REFUSED: "job store",
    Reason.JOB_STORE_AUTHENTICATION_FAILED: "job store",
    Reason.JOB_STORE_PERMISSION_DENIED: "job store",
}
"""The server of an error with this reason; errors with other reasons may name it in `server`."""

_MAY_NOT_READ: Final = (
    "the broker's ACL forbids reading Celery's results (spec.diagnosis.results); grant the user in the URL "
    "%R~celery-task-meta-* and +getrange, as docs/diagnosis.md shows"
)


def with_origin(error: RecoveryError, target: QueueTargetSpec | None) -> RecoveryError:
    """Return the error with the Secret and the key of the server's URL in its message.

    Args:
        error: of any step; returned unchanged if it concerns no server.
        target: the target of the step; None: it was not read yet.
    """
    ref = None if target is None else _url_ref(error.server or _SERVERS.get(error.reason), target)
    if ref is None:
        return error
    message = error.message.removesuffix(".")
    return type(error)(error.reason, f'{message}. The URL is in Secret "{ref.name}", key "{ref.key}"')


def of_results(error: RecoveryError, target: QueueTargetSpec) -> RecoveryError:
    """Return an error that was met on the way to Celery's results, with their field, Secret and key in its message.

    The driver's room speaks of the broker, which may be another server.

    Args:
        error: of reading the results; returned unchanged if it concerns no server, as one that names a Secret.
        target: of the results.
    """
    results = target.diagnosis.results
    ref = None if results is None else results.url_secret_ref
    if error.reason == Reason.BROKER_PERMISSION_DENIED:
        error = RecoveryError(error.reason, _MAY_NOT_READ)
    if ref is None:
        return with_origin(error, target)
    if error.reason != Reason.INVALID_CERTIFICATE and (error.server or _SERVERS.get(error.reason)) != "broker":
        return error
    message = error.message.removesuffix(".").replace("the broker", "the server")
    if error.reason != Reason.BROKER_UNAVAILABLE:  # which may name a host that is called so
        message = message.replace("broker.tls", "diagnosis.results.tls")
    where = f'Secret "{ref.name}", key "{ref.key}" (spec.diagnosis.results.urlSecretRef)'
    return type(error)(error.reason, f"{message}. The URL is in {where}")


def _url_ref(server: Server | None, target: QueueTargetSpec) -> SecretKeyRef | None:
    if server == "broker":
        return target.broker.url_secret_ref
    if server == "job store" and target.job_store is not None:
        return target.job_store.mongodb.url_secret_ref
    return None
