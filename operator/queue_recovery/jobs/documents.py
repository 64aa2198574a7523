"""Read a job's document: its id, and the fields that a target maps. Pure."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bson import ObjectId

from queue_recovery.api.servers import IdType, JobFields
from queue_recovery.recovery.ports import StoredJob

Document = Mapping[str, object]
TypedId = ObjectId | str | int

_INT64: Final = range(-(2**63), 2**63)
_HEX: Final = frozenset("0123456789abcdef")
_OBJECT_ID_LENGTH: Final = 24
_MAX_NAME_BYTES: Final = 1024
"""Of a status, a task id or a task's name as JSON: those of all listed jobs are in memory and in one record."""


class Unreadable(Exception):
    """A mapped field has a value that a Celery message in JSON cannot hold."""


@dataclass(frozen=True)
class _Absent:
    """A field that a document does not have, unlike one that is null."""


ABSENT: Final = _Absent()


def fits(job_id: str | int, id_type: IdType) -> bool:
    """Tell whether the id has the one form in which `id_type` is written.

    There is one form for each document, so that a job which is listed twice is noticed: an ObjectId is text of 24
    lower-case hexadecimal digits, a String any text that is not empty, an Int an integer of 64 bits and never text.
    """
    match id_type:
        case "ObjectId":
            return isinstance(job_id, str) and len(job_id) == _OBJECT_ID_LENGTH and _HEX.issuperset(job_id)
        case "String":
            return isinstance(job_id, str) and job_id != "" and _is_unicode(job_id)
        case "Int":
            return isinstance(job_id, int) and not isinstance(job_id, bool) and job_id in _INT64


def typed(job_id: str, id_type: IdType) -> TypedId:
    """Convert an id's text into the value of `_id`.

    Raises:
        ValueError: the text does not fit `id_type`.
    """
    if id_type == "Int":
        number = int(job_id)
        if str(number) == job_id and fits(number, id_type):
            return number
    elif fits(job_id, id_type):
        return ObjectId(job_id) if id_type == "ObjectId" else job_id
    raise ValueError("the id does not fit the collection's idType")


def field(document: Document, path: str) -> object:
    """Return the value at a (possibly dotted) path, or `ABSENT`."""
    value: object = document
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return ABSENT
        value = value[name]
    return value


def text(document: Document, path: str) -> str | None:
    """Return a status or a task id; None if it is not mapped, absent or null.

    A value that is not text becomes its type in angle brackets, such as `<int>`: it equals no status of a target, and
    messages show it without showing the value.
    """
    value = field(document, path) if path else None
    if value is None or value is ABSENT:
        return None
    return value if type(value) is str else f"<{type(value).__name__}>"


def not_text(document: Document, path: str) -> str | None:
    """Return the type of a task id that is not text; None: it is text, or not mapped, absent or null.

    A claim compares the task id with text. It is not found inside an array, and not written inside text or a number.
    """
    if not path:
        return None
    value: object = document
    for name in path.split("."):
        if value is None:
            return None
        if not isinstance(value, Mapping):
            return f"inside {type(value).__name__}"
        value = value.get(name)
    return None if value is None or type(value) is str else type(value).__name__


def stored_job(job_id: str, document: Document, fields: JobFields) -> StoredJob:
    """Read a job from its document.

    Raises:
        Unreadable: a message in JSON cannot hold the mapped task, args or kwargs, or a name is very long.
    """
    return StoredJob(
        id=job_id,
        status=_short(text(document, fields.status)),
        task_id=_short(text(document, fields.task_id)),
        task=_short(_task(document, fields.task)),
        args=_json(document, fields.args, list),
        kwargs=_json(document, fields.kwargs, dict),
        task_id_type=not_text(document, fields.task_id),
    )


def _short(value: str | None) -> str | None:
    if value is not None and len(json.dumps(value, ensure_ascii=False).encode()) - len('""') > _MAX_NAME_BYTES:
        raise Unreadable
    return value


def _task(document: Document, path: str) -> str | None:
    value = _mapped(document, path)
    if value is None:
        return None
    if type(value) is not str or not value:
        raise Unreadable
    return value


def _json(document: Document, path: str, kind: type[list[object]] | type[dict[str, object]]) -> str | None:
    value = _mapped(document, path)
    if value is None:
        return None
    if type(value) is str:
        if not isinstance(_parsed(value), kind):
            raise Unreadable
        return value
    if not isinstance(value, kind) or not _is_exact(value):
        raise Unreadable
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _mapped(document: Document, path: str) -> object:
    value = field(document, path) if path else None
    return None if value is ABSENT else value


def _parsed(value: str) -> object:
    def refuse(_constant: str) -> None:
        raise Unreadable

    try:
        return json.loads(value, parse_constant=refuse)
    except (ValueError, RecursionError):
        raise Unreadable from None


def _is_exact(value: object) -> bool:
    """Tell whether a value survives JSON; BSON's own types, NaN and infinity do not."""
    if isinstance(value, dict):
        return all(type(key) is str and _is_exact(part) for key, part in value.items())
    if isinstance(value, list):
        return all(map(_is_exact, value))
    if isinstance(value, float):
        return math.isfinite(value)
    # BSON's Code is a subclass of str. Its Int64 is one of int, and JSON can hold it.
    return value is None or type(value) is str or isinstance(value, int)


def _is_unicode(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
