"""How an id in the job store is written, shown to whom has written it otherwise. Pure.

Another form is refused and not understood: each document has one written form only, so that a job which is listed twice
is always seen to be, and a job's task id, which is made from the form, is the same at every attempt.
"""

import re
from collections.abc import Sequence
from typing import Final

from queue_recovery.api.servers import IdType
from queue_recovery.recovery.wording import named

_FORMS: Final[dict[IdType, str]] = {
    "ObjectId": "An ObjectId is written as 24 lower-case hexadecimal digits in quotes, such as "
    '"662f1c0e9d3e4b0001a1b2c3"',
    "String": 'A String is written as text in quotes, such as "job-42"',
    "Int": "An Int is written as a number without quotes, such as 42",
}

_OBJECT_ID: Final = re.compile(
    r"""(?:ObjectId\(\s*|\{\s*["']?\$oid["']?\s*:\s*)?["']?([0-9a-fA-F]{24})["']?\s*[)}]?""", re.IGNORECASE
)
"""As people copy it: bare, as MongoDB's shell shows it, and as its extended JSON does."""

_INT: Final = re.compile(r"""(?:Number(?:Long|Int)\(\s*)?["']?(-?[0-9]{1,19})["']?\s*\)?""")


def describe_misfits(misfits: Sequence[str | int], id_type: IdType) -> str:
    """Return what is wrong with ids that do not fit the target's `idType`, and how to write each where one is meant."""
    shown = named([_with_correction(job_id, id_type) for job_id in misfits])
    return (
        f"idType of the target is {id_type}, and these ids do not have its form: {shown}. {_FORMS[id_type]}. "
        "Create a recovery with such ids, or correct idType in the target"
    )


def written(job_id: str | int, id_type: IdType) -> str | None:
    """Return an id as it is written in YAML, or None if it is not possible to determine which document is meant."""
    text = str(job_id).strip()
    if id_type == "ObjectId":
        found = _OBJECT_ID.fullmatch(text)
        return None if found is None else f'"{found[1].lower()}"'
    if id_type == "Int":
        found = _INT.fullmatch(text)
        return None if found is None else str(int(found[1]))
    return f'"{job_id}"' if isinstance(job_id, int) else None


def _with_correction(job_id: str | int, id_type: IdType) -> str:
    form = written(job_id, id_type)
    name = f'"{job_id}"' if isinstance(job_id, str) else str(job_id)
    return name if form is None else f"{name} (write {form})"
