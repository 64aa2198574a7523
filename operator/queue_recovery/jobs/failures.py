"""What the driver's errors mean for a recovery.

Nothing of the driver's own text is passed on: it can hold addresses and parts of documents.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from bson.errors import BSONError
from pymongo.errors import BulkWriteError, OperationFailure, PyMongoError

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.cancellation import heed_cancellation
from queue_recovery.recovery.errors import RecoveryError, Rejected, Unavailable

_AUTHENTICATION: Final = frozenset({11, 18, 8000})
"""UserNotFound, AuthenticationFailed, and Atlas's own code for the same."""
_PERMISSION: Final = 13
_NAMED: Final = 10

UNFIT: Final = frozenset({28, 121})
"""PathNotViable, DocumentValidationFailure: the document itself has no room for the operator's stamp."""
_NOT_TRANSIENT: Final = UNFIT | {11000}


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into the errors of a recovery, and heed a cancellation that it has left unheard."""
    try:
        yield
    except BulkWriteError as error:
        raise _meaning(error, _first_code(error)) from None
    except OperationFailure as error:
        raise _meaning(error, error.code) from None
    except BSONError:
        raise Rejected(
            Reason.INVALID_ARGUMENTS, "a document of the listed jobs is not valid BSON, so it cannot be read; mend it"
        ) from None
    except PyMongoError as error:
        raise _meaning(error, None) from None
    finally:
        heed_cancellation()


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


def _first_code(error: BulkWriteError) -> int | None:
    return next((entry["code"] for entry in error.details["writeErrors"]), None)


def _meaning(error: PyMongoError, code: int | None) -> RecoveryError:
    if code in _AUTHENTICATION:
        return Unavailable(
            Reason.JOB_STORE_AUTHENTICATION_FAILED,
            "the job store refuses the user or the password of its URL; mend it in the Secret",
        )
    if code == _PERMISSION:
        return Unavailable(
            Reason.JOB_STORE_PERMISSION_DENIED,
            "the job store's user may not both read and update the collection of jobs; grant it the role readWrite",
        )
    return Unavailable(
        Reason.JOB_STORE_UNAVAILABLE,
        f"the job store does not answer as it should ({type(error).__name__}{'' if code is None else f' {code}'}); "
        "see that it runs, has a primary, and can be reached from the operator",
    )
