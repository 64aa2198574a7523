"""Converts pydantic's JSON schema to a structural schema, the dialect of the Kubernetes API server.

It converts, and refuses only what the server would drop without an error. Everything else that is wrong with a schema,
from a misspelt keyword to a pattern that RE2 does not know, is found by a strict apply (`kubectl apply
--validate=strict`), which the tests make of both definitions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

_NULL = {"type": "null"}


class NotStructural(ValueError):
    """The schema has a part that the API server would refuse, or drop without an error."""

    def __init__(self, path: str, problem: str) -> None:
        """Store the position in the schema, and what is wrong there."""
        super().__init__(f"{path or '(root)'}: {problem}")


def structural(schema: Schema) -> Schema:
    """Return the structural schema that is equivalent to a schema of pydantic.

    References are inlined, `X | None` becomes a field that may be absent, and a union of integer and text an
    `x-kubernetes-int-or-string`. Raises NotStructural for anything that has no equivalent.
    """
    return _Converter(schema.get("$defs", {})).convert(schema, "", ())


class _Converter:
    """Converts one schema; `within` lists the definitions around a node, to detect recursion."""

    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def convert(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        schema, within = self._resolve(schema, path, within)
        schema = _spelt_as_kubernetes_does(schema, path)
        if schema.get("items"):
            schema["items"] = self.convert(schema["items"], f"{path}[]", within)
        if schema.get("type") == "object":
            schema |= self._fields(schema, path, within)
        if "default" in schema:
            schema["default"] = _without_nulls(schema["default"])
        return schema

    def _resolve(self, schema: Schema, path: str, within: tuple[str, ...]) -> tuple[Schema, tuple[str, ...]]:
        """Inline references and drop `null`; what is beside it, such as a description, holds over what is inlined."""
        while "$ref" in schema or _NULL in schema.get("anyOf", ()):
            if "$ref" not in schema:
                schema = _not_null(schema)
                continue
            name = schema["$ref"].removeprefix("#/$defs/")
            if name in within:
                raise NotStructural(path, f"{name} contains itself")
            if name not in self._definitions:
                raise NotStructural(path, f"{schema['$ref']} leads nowhere")
            schema = self._definitions[name] | {key: value for key, value in schema.items() if key != "$ref"}
            within = (*within, name)
        return schema, within

    def _fields(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        if properties := schema.get("properties"):
            return {"properties": {n: self.convert(field, f"{path}.{n}", within) for n, field in properties.items()}}
        if isinstance(more := schema.get("additionalProperties"), dict) and more:
            return {"additionalProperties": self.convert(more, f"{path}.*", within)}
        raise NotStructural(path, "an object that names none of its fields would lose all of them")


def _not_null(schema: Schema) -> Schema:
    """Convert `X | None` to X, because an unset field is omitted."""
    alternatives = [alternative for alternative in schema["anyOf"] if alternative != _NULL]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return alternatives[0] | rest if len(alternatives) == 1 else rest | {"anyOf": alternatives}


def _spelt_as_kubernetes_does(schema: Schema, path: str) -> Schema:
    """Return a new node with Kubernetes' equivalents of pydantic's keywords."""
    node = {key: value for key, value in schema.items() if key not in {"title", "$defs"}}
    if node.get("default", ...) is None:
        del node["default"]
    if "anyOf" in node:
        node |= _int_or_string(node.pop("anyOf"), path)
    if "const" in node:
        node["enum"] = [node.pop("const")]
    if node.pop("uniqueItems", False):
        node["x-kubernetes-list-type"] = "set"
    if node.get("additionalProperties") is False and node.get("properties"):
        del node["additionalProperties"]
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if exclusive in node:
            if inclusive in node:
                raise NotStructural(path, f"{inclusive} and {exclusive} exclude each other")
            node |= {inclusive: node[exclusive], exclusive: True}
    return node


def _int_or_string(alternatives: Sequence[Schema], path: str) -> Schema:
    if [alternative.get("type") for alternative in alternatives] != ["integer", "string"]:
        raise NotStructural(path, "the only union there is, is that of an integer and a text, in this order")
    integer, text = ({key: value for key, value in a.items() if key not in {"type", "title"}} for a in alternatives)
    return {"x-kubernetes-int-or-string": True} | integer | text


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Remove nulls from a default, because a field that is not nullable refuses them there too."""
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    return value
