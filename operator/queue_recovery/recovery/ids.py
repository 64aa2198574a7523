"""The written forms of job ids, and the correction of other forms. Pure.

Each document has exactly one written form, and every other form is refused. So a job that is listed twice is always
detected, and the task id, which is derived from the form, is the same each time.
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
"""The forms that users copy: bare, from MongoDB's shell, and from its extended JSON."""

_INT: Final = re.compile(r"""(?:Number(?:Long|Int)\(\s*)?["']?(-?[0-9]{1,19})["']?\s*\)?""")


def describe_misfits(misfits: Sequence[str | int], id_type: IdType) -> str:
    """Return the message for ids that do not fit the target's `idType`, with corrections."""
    shown = named([_with_correction(job_id, id_type) for job_id in misfits])
    return (
        f"idType of the target is {id_type}, and these ids do not have its form: {shown}. {_FORMS[id_type]}. "
        "Create a recovery with such ids, or correct idType in the target"
    )


def written(job_id: str | int, id_type: IdType) -> str | None:
    """Return the id as YAML for the `idType`; None: the text does not identify a document."""
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
