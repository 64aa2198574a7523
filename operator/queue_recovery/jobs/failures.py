"""What the driver's errors mean for a recovery.

None of the driver's own text is passed on: it can hold addresses and parts of documents.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from bson.errors import BSONError
from dns.exception import Timeout as DNSTimeout
from pymongo.errors import BulkWriteError, ConfigurationError, OperationFailure, ProtocolError, PyMongoError

from queue_recovery.api.reasons import Reason
from queue_recovery.jobs.connections import Connections
from queue_recovery.recovery.cancellation import raise_cancellation
from queue_recovery.recovery.connect_failures import ConnectFailure, Kind, describe
from queue_recovery.recovery.destinations import AddressNotAllowedError, address_not_allowed
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.wording import quoted

_AUTHENTICATION: Final = frozenset({11, 18, 8000})
"""UserNotFound, AuthenticationFailed, and Atlas's own code for the same."""
_PERMISSION: Final = 13

UNSTAMPABLE: Final = frozenset({28, 121, 10003, 10334, 17419})
"""PathNotViable, DocumentValidationFailure, CannotGrowDocumentInCappedNamespace, BSONObjectTooLarge and its code in
older servers: the document cannot take the operator's stamp."""
_PERMANENT: Final = UNSTAMPABLE | {11000}

Action = Literal["find", "update"]
"""An action of MongoDB's privileges. A recovery needs no others."""


@contextmanager
def translated_failures(action: Action, namespace: str, connections: Connections) -> Iterator[None]:
    """Translate the driver's errors, and raise a cancellation that it has swallowed.

    Args:
        action: what is being done.
        namespace: the collection with its database, such as `app.jobs`.
        connections: those of the client.
    """
    try:
        yield
    except (PyMongoError, BSONError, AddressNotAllowedError) as error:
        raise to_recovery_error(error, action, namespace, connections) from None
    finally:
        raise_cancellation()


def to_recovery_error(
    error: PyMongoError | BSONError | AddressNotAllowedError, action: Action, namespace: str, connections: Connections
) -> RecoveryError:
    """Return what an error of the driver means for a recovery."""
    if isinstance(error, OperationFailure):
        code = _first_code(error) if isinstance(error, BulkWriteError) else error.code
        if not isinstance(code, int):  # a server may answer with anything
            code = None
        return permission_denied([action], namespace) if code == _PERMISSION else _from_code(code)
    if isinstance(error, BSONError):
        return RecoveryError(
            Reason.INVALID_ARGUMENTS,
            "the document of one of the listed jobs is not valid BSON. Correct the document, or leave the job out",
        )
    return _from_connection(error, connections)


def refused_writes(error: BulkWriteError, ids: Sequence[str]) -> dict[str, int] | None:
    """Return the ids whose documents refused the write, with the server's codes.

    Args:
        error: of the whole bulk.
        ids: in the order in which their writes were sent.

    Returns:
        None if something else failed too, so that a retry may help.
    """
    details = error.details
    refusals = {ids[entry["index"]]: entry["code"] for entry in details["writeErrors"]}
    if details["writeConcernErrors"] or not _PERMANENT.issuperset(refusals.values()):
        return None
    return refusals


def permission_denied(actions: Sequence[Action], namespace: str) -> RecoveryError:
    """Return the error of a user whose roles lack these actions on the collection."""
    missing = " and ".join(f'"{action}"' for action in actions)
    noun, check = ("privilege", "") if len(actions) == 1 else ("privileges", ", and check that the URL names a user")
    return RecoveryError(
        Reason.JOB_STORE_PERMISSION_DENIED,
        f'the job store\'s user lacks the {noun} {missing} on the collection "{namespace}". '
        f'Grant it a role with the actions "find" and "update" on this collection{check}',
    )


def writes_refused(refused: Mapping[str, int]) -> str:
    """Return the message for jobs whose documents refuse an update."""
    codes = ", ".join(map(str, sorted(set(refused.values()))))
    return (
        f"MongoDB refuses to change the documents of {quoted(refused)} (code {codes}). "
        "Check which rule of the collection forbids it: a validator, a unique index or a size limit"
    )


def _first_code(error: BulkWriteError) -> int | None:
    details = error.details
    return next((entry["code"] for entry in [*details["writeErrors"], *details["writeConcernErrors"]]), None)


def _from_code(code: int | None) -> RecoveryError:
    if code in _AUTHENTICATION:
        return RecoveryError(
            Reason.JOB_STORE_AUTHENTICATION_FAILED,
            "the job store refuses the user or the password. Correct them in the URL",
        )
    shown = "an error" if code is None else f"error {code}"
    return RecoveryError(
        Reason.JOB_STORE_UNAVAILABLE,
        f"the job store answers with {shown}. Check that it runs and has a primary, and see its log",
    )


def _from_connection(error: PyMongoError | AddressNotAllowedError, connections: Connections) -> RecoveryError:
    if connections.address_refused:
        return address_not_allowed("job store")
    if connections.certificate_refused():
        return RecoveryError(
            Reason.JOB_STORE_CERTIFICATE_REFUSED,
            "the TLS handshake with the job store fails: its certificate is not trusted or is for another host, it "
            "requires or refuses a client certificate, or it does not speak TLS. Check jobStore.mongodb.tls in the "
            "target, and the Secrets that it names",
        )
    failure = connections.failure
    if isinstance(error, ConfigurationError) and error.__cause__ is not None:
        # The servers of mongodb+srv:// are looked up at the first command.
        failure = ConnectFailure(Kind.NO_DNS if isinstance(error.__cause__, DNSTimeout) else Kind.NO_SUCH_HOST)
    if failure is not None:
        return RecoveryError(Reason.JOB_STORE_UNAVAILABLE, describe("job store", failure))
    if isinstance(error, ProtocolError):
        return RecoveryError(
            Reason.JOB_STORE_UNAVAILABLE,
            "the job store's reply is too large, or it is not MongoDB's protocol. Check the host and port in the URL",
        )
    return RecoveryError(
        Reason.JOB_STORE_UNAVAILABLE,
        "the job store does not answer as it should. Check that it runs, has a primary, and can be reached from the "
        "operator, which runs in another namespace: write mongo.NAMESPACE.svc, not mongo",
    )
