"""What the API server wants of a schema, as a walk over a finished one: independent of how it was made.

Rules of k8s.io/apiextensions-apiserver, `pkg/apiserver/schema/validation.go`, and two of our own: every text and
every list has an end, because CEL's cost budget and etcd's object size both depend on it.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_EVERYWHERE = {"type", "description", "default", "x-kubernetes-validations", "x-kubernetes-int-or-string"}
_BY_TYPE = {
    "string": {"minLength", "maxLength", "pattern", "format", "enum"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "format"},
    "boolean": {"enum"},
    "array": {"items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"},
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
}
_INT_OR_STRING = {"minLength", "maxLength", "minimum", "maximum"}


def violations(schema: Schema, path: str = "") -> Iterator[str]:
    """Yield everything that the API server would refuse, drop, or count as unbounded."""
    if schema.get("x-kubernetes-int-or-string"):
        if "type" in schema:
            yield f"{path}: a type beside x-kubernetes-int-or-string"
        if "maxLength" not in schema:
            yield f"{path}: a text without end"
        yield from _unknown(schema, _INT_OR_STRING, path)
        return
    kind = schema.get("type")
    if kind not in _BY_TYPE:
        yield f"{path}: type {kind!r}"
        return
    yield from _unknown(schema, _BY_TYPE[kind], path)
    if schema.get("default", ...) is None:
        yield f"{path}: null as default"
    if kind == "string" and "maxLength" not in schema and "enum" not in schema:
        yield f"{path}: a text without end"
    if kind == "array":
        if "maxItems" not in schema:
            yield f"{path}: a list without end"
        yield from violations(schema.get("items", {}), f"{path}[]")
    if kind == "object":
        yield from _of_object(schema, path)


def _of_object(schema: Schema, path: str) -> Iterator[str]:
    properties = schema.get("properties", {})
    if not properties and not schema.get("additionalProperties"):
        yield f"{path}: an object that would lose all of its fields"
    if properties and "additionalProperties" in schema:
        yield f"{path}: properties beside additionalProperties"
    for name in set(schema.get("required", ())) - properties.keys():
        yield f"{path}: {name} is required and unknown"
    for name, field in properties.items():
        yield from violations(field, f"{path}.{name}")
    if isinstance(more := schema.get("additionalProperties"), dict):
        yield from violations(more, f"{path}.*")


def _unknown(schema: Schema, known: set[str], path: str) -> Iterator[str]:
    for key in schema.keys() - known - _EVERYWHERE:
        yield f"{path}: the keyword {key}"
