"""What every model of the API group shares."""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, PlainSerializer
from pydantic.alias_generators import to_camel

GROUP = "queuerecovery.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

Rules = list[JsonValue]
"""CEL rules of one schema node, as `x-kubernetes-validations` takes them."""


class Model(BaseModel):
    """A part of a resource: camelCase in YAML, snake_case in Python, never changed in place."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,  # what does not fit may be a payload, and errors are logged
    )


def with_rules(rules: Rules) -> ConfigDict:
    """Return what a model adds to its configuration to carry CEL rules into its schema."""
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": rules})


def list_map(key: str) -> dict[str, JsonValue]:
    """Return what a list adds to its schema when its items are told apart by `key`.

    The API server then refuses a second item of the same key, and server-side apply merges by it.
    """
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


def is_empty(value: object) -> bool:
    """Tell whether a status leaves a field out: an empty list, 0, or a part of which nothing is set."""
    return not (value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value)


LIST_SET: dict[str, JsonValue] = {"x-kubernetes-list-type": "set"}
"""What a list of scalars adds to its schema when none may be listed twice."""


class Explained(StrEnum):
    """Words that are used in a resource, each with its meaning, for the reference."""

    meaning: str

    def __new__(cls, word: str, meaning: str = "") -> Self:
        """Make a member whose value is the word alone; the default lets type checkers accept a look-up by word."""
        self = str.__new__(cls, word)
        self._value_ = word
        self.meaning = meaning
        return self


_OBJECT_NAME = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=f"^{_OBJECT_NAME}$")]
"""Name of a Kubernetes object (RFC 1123 subdomain)."""

QueueName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Name of a Celery queue, without prefix and separator; Celery's own separator is made of control characters."""

EVERY_QUEUE = "*"
"""What a recovery names as its queue when it means all of its target's; so no queue of a target may be named so."""

TaskName = Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""Name of a Celery task, such as `tts.render`."""

JsonText = Annotated[str, Field(min_length=2, max_length=65536)]
"""JSON as text: YAML and kubectl alter structured arguments (1.0, large integers, nulls)."""

Timestamp = Annotated[str, Field(max_length=40, json_schema_extra={"format": "date-time"})]
"""A time as RFC 3339 has it; the API server checks the form."""


def is_full_name(text: str) -> bool:
    """Tell whether a text is `namespace/name`, which what others wrote has to be before it goes into a path."""
    return re.fullmatch(f"{_OBJECT_NAME}/{_OBJECT_NAME}", text) is not None


def _cut(limit: int) -> Callable[[str], str]:
    """Return what makes one line of a text and cuts it where it has more bytes.

    The API server would refuse the whole status because of a longer one. Parts of a text may be somebody else's: with
    line breaks or control characters they could pass for more than one line in a terminal or to a script, and with what
    turns the direction of writing for another text; halves of surrogate pairs cannot be stored at all.
    """

    def cut(text: str) -> str:
        line = re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)
        if not line.isprintable():
            line = "".join(one if one.isprintable() else " " for one in line)
        stored = line.encode()
        return line if len(stored) <= limit else f"{stored[: limit - 3].decode(errors='ignore')}..."

    return cut


Message = Annotated[str, Field(max_length=4096), BeforeValidator(_cut(4096)), PlainSerializer(_cut(4096))]
"""What a status says to people; cut where it is too long."""

Note = Annotated[str, Field(max_length=160), BeforeValidator(_cut(160)), PlainSerializer(_cut(160))]
"""The same in few words, for what may be repeated a thousand times."""

ShownName = Annotated[str, Field(max_length=200), BeforeValidator(_cut(200)), PlainSerializer(_cut(200))]
"""A name that somebody else chose, of any length, as a status shows it."""


SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""Name of a key in a Secret."""


class SecretKeyRef(Model):
    """One key of a Secret in the same namespace."""

    name: ObjectName = Field(description="Name of the Secret, in this namespace.")
    key: SecretKey = Field(description="Key in the Secret whose value is the whole URL.")


class NameRef(Model):
    """A Deployment in the same namespace."""

    name: ObjectName = Field(description="Name of the Deployment, in this namespace.")
