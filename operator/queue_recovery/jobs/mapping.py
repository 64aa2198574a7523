"""Check the field mapping of a target."""

from itertools import combinations

from queue_recovery.api.reasons import Reason
from queue_recovery.api.servers import JobFields
from queue_recovery.jobs.claims import STAMPS
from queue_recovery.recovery.errors import RecoveryError


def check(fields: JobFields) -> None:
    """Refuse names that MongoDB refuses, and fields that overwrite each other.

    The first claim would find out too, but the workers have been stopped by then.

    Raises:
        RecoveryError: `InvalidJobFields`.
    """
    paths = [fields.status, fields.task_id, fields.task, fields.args, fields.kwargs, fields.error]
    for path in filter(None, paths):
        if any(not name or name.startswith("$") or "\0" in name for name in path.split(".")):
            raise _refused(f'"{path}" is not a valid field path')
    written = [*filter(None, (fields.status, fields.task_id)), STAMPS, "_id"]
    for one, other in combinations(written, 2):
        if f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}."):
            raise _refused(f'"{one}" and "{other}" overlap, and a recovery writes both')


def _refused(what: str) -> RecoveryError:
    return RecoveryError(Reason.INVALID_JOB_FIELDS, f"{what}. Correct jobStore.mongodb.fields in the target")
