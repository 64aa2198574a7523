"""The base of all models of the API group."""

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
    """A part of a resource: camelCase in YAML, snake_case in Python, immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        hide_input_in_errors=True,  # an invalid value may be a payload, and errors are logged
    )


def with_rules(rules: Rules) -> ConfigDict:
    """Return the model configuration that adds CEL rules to the schema."""
    return ConfigDict(json_schema_extra={"x-kubernetes-validations": rules})


def list_map(*keys: str) -> dict[str, JsonValue]:
    """Return the schema extension of a list whose items are identified by `keys`.

    The API server then refuses a second item of the same keys, and server-side apply merges by them.
    """
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [*keys]}


def is_empty(value: object) -> bool:
    """Tell whether a status omits a value: an empty list, 0, or a part without set fields."""
    return not (value.model_dump(exclude_none=True) if isinstance(value, BaseModel) else value)


LIST_SET: dict[str, JsonValue] = {"x-kubernetes-list-type": "set"}
"""What a list of scalars adds to its schema when none may be listed twice."""


class Explained(StrEnum):
    """The words that a field may have, each with its meaning for the reference."""

    meaning: str

    def __new__(cls, word: str, meaning: str = "") -> Self:
        """Create a member whose value is the word; the default lets type checkers accept a look-up by word."""
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
    """Tell whether a text is a valid `namespace/name`; check external text before using it in a path."""
    return re.fullmatch(f"{_OBJECT_NAME}/{_OBJECT_NAME}", text) is not None


def _cut(limit: int) -> Callable[[str], str]:
    """Return a function that makes a text one line and truncates it to a number of bytes.

    The API server would refuse the whole status because of a longer text. Any client may have written a part of a text:
    line breaks and control characters could fake further lines in a terminal or a script, and characters that change
    the direction of writing could fake another text. Halves of surrogate pairs cannot be stored.
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

Sentence = Annotated[str, Field(max_length=600), BeforeValidator(_cut(600)), PlainSerializer(_cut(600))]
"""The same for what may be repeated a few hundred times."""

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
