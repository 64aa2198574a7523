"""What the driver's errors mean for a recovery.

Nothing of the driver's own text is passed on: it can hold addresses and parts of documents.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

from bson.errors import BSONError
from dns.exception import Timeout as DNSTimeout
from pymongo.errors import BulkWriteError, ConfigurationError, OperationFailure, PyMongoError

from queue_recovery.api.reasons import Reason
from queue_recovery.jobs.guarded import Reach
from queue_recovery.recovery.cancellation import raise_cancellation
from queue_recovery.recovery.connect_failures import ConnectFailure, Kind, describe
from queue_recovery.recovery.destinations import AddressNotAllowedError, address_not_allowed
from queue_recovery.recovery.errors import RecoveryError, Rejected, Unavailable

_AUTHENTICATION: Final = frozenset({11, 18, 8000})
"""UserNotFound, AuthenticationFailed, and Atlas's own code for the same."""
_PERMISSION: Final = 13
_NAMED: Final = 10

UNFIT: Final = frozenset({28, 121, 10003, 10334, 17419})
"""PathNotViable, DocumentValidationFailure, CannotGrowDocumentInCappedNamespace, BSONObjectTooLarge and its code in
older servers: the document itself has no room for the operator's stamp."""
_NOT_TRANSIENT: Final = UNFIT | {11000}

Action = Literal["find", "update"]
"""What a user of the job store needs to be granted, as MongoDB's privileges call it: all that a recovery does."""


@contextmanager
def translated(action: Action, namespace: str, reach: Reach) -> Iterator[None]:
    """Turn what the driver raises into the errors of a recovery, and handle a cancellation that it has swallowed.

    Args:
        action: what is being done.
        namespace: the collection with its database, such as `app.jobs`.
        reach: where the client connects.
    """
    try:
        yield
    except OperationFailure as error:
        code = _first_code(error) if isinstance(error, BulkWriteError) else error.code
        if not isinstance(code, int):  # the server's answer, which may be anything
            code = None
        raise permission_denied([action], namespace) if code == _PERMISSION else _meaning(error, code) from None
    except BSONError:
        raise Rejected(
            Reason.INVALID_ARGUMENTS,
            "a document of the listed jobs is not valid BSON, so it cannot be read; correct it",
        ) from None
    except (PyMongoError, AddressNotAllowedError) as error:
        raise _of_connection(error, reach) from None
    finally:
        raise_cancellation()


def refused_writes(error: BulkWriteError, ids: Sequence[str]) -> dict[str, int] | None:
    """Return which ids' documents refused the write, with the server's code, by the order the writes were sent in.

    None when something else went wrong too, so that trying again may help.
    """
    details = error.details
    refusals = {ids[entry["index"]]: entry["code"] for entry in details["writeErrors"]}
    if details["writeConcernErrors"] or not _NOT_TRANSIENT.issuperset(refusals.values()):
        return None
    return refusals


def named(ids: Sequence[str]) -> str:
    """Name the jobs, the first ones when there are many."""
    listed = ", ".join(ids[:_NAMED])
    return f"{listed} and {len(ids) - _NAMED} more" if len(ids) > _NAMED else listed


def permission_denied(actions: Sequence[Action], namespace: str) -> Unavailable:
    """Return the error of a user whose roles lack these actions on the collection."""
    missing = f"privilege {actions[0]}" if len(actions) == 1 else f"privileges {' and '.join(actions)}"
    check = "" if len(actions) == 1 else ", or see that the URL names a user at all"
    return Unavailable(
        Reason.JOB_STORE_PERMISSION_DENIED,
        f'the job store\'s user lacks the {missing} on the collection "{namespace}". '
        f"Grant it a role with the actions find and update on this collection{check}",
    )


def _first_code(error: BulkWriteError) -> int | None:
    details = error.details
    return next((entry["code"] for entry in [*details["writeErrors"], *details["writeConcernErrors"]]), None)


def _of_connection(error: Exception, reach: Reach) -> RecoveryError:
    if reach.refused:
        return address_not_allowed("job store")
    if reach.certificate_refused():
        return Unavailable(
            Reason.JOB_STORE_CERTIFICATE_REFUSED,
            "TLS to the job store fails: its certificate cannot be trusted or is for another host, or it refuses the "
            "operator's or asks for one, or it does not speak TLS; see jobStore.mongodb.tls in the target and the "
            "Secrets that it names",
        )
    failure = reach.failure
    if isinstance(error, ConfigurationError) and error.__cause__ is not None:
        # Of mongodb+srv://, whose servers are looked up at the first command.
        failure = ConnectFailure(Kind.NO_DNS if isinstance(error.__cause__, DNSTimeout) else Kind.NO_SUCH_HOST)
    if failure is not None:
        return Unavailable(Reason.JOB_STORE_UNAVAILABLE, describe("job store", failure))
    return _meaning(error, None)


def _meaning(error: Exception, code: int | None) -> RecoveryError:
    if code in _AUTHENTICATION:
        return Unavailable(
            Reason.JOB_STORE_AUTHENTICATION_FAILED,
            "the job store refuses the user or the password; correct them in the URL",
        )
    return Unavailable(
        Reason.JOB_STORE_UNAVAILABLE,
        f"the job store does not answer as it should ({type(error).__name__}{'' if code is None else f' {code}'}); "
        "check that it runs, has a primary, and can be reached from the operator (it runs in another namespace: write "
        "mongo.NAMESPACE.svc, not mongo)",
    )
