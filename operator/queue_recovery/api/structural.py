"""Converts pydantic's JSON schema to a structural schema, the dialect of the Kubernetes API server.

The rules are those of k8s.io/apiextensions-apiserver: `pkg/apiserver/schema` (what is structural) and
`pkg/apis/apiextensions/validation` (what a definition may hold). An unknown keyword is the
dangerous case: a client without strict validation gets a 201, and the bound of the keyword is dropped.
So this module refuses every keyword that it does not list.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Schema = dict[str, Any]

_NULL = {"type": "null"}
_NUMBER = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "format"}
_TEXT = {"minLength", "maxLength", "pattern", "format", "enum"}
_KNOWN: Mapping[str, set[str]] = {
    "string": _TEXT,
    "integer": _NUMBER,
    "number": _NUMBER,
    "boolean": {"enum"},
    "array": {"items", "minItems", "maxItems", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"},
    "object": {
        "properties",
        "required",
        "additionalProperties",
        "minProperties",
        "maxProperties",
        "x-kubernetes-map-type",
    },
    "integer or string": {"minimum", "maximum", "minLength", "maxLength", "pattern"},
}
_KNOWN_ON_EVERY_TYPE = {"type", "description", "default", "x-kubernetes-validations", "x-kubernetes-int-or-string"}
_KNOWN_IN_RULES = {"rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf"}
_NOT_RE2 = re.compile(
    r"""\(\?<?[=!]        # lookaround
      | \(\?>             # an atomic group
      | \\[1-9] | \(\?P=  # a back reference
      | \\Z               # the end, as Python spells it
      | [*+?}]\+          # a possessive quantifier
    """,
    re.VERBOSE,
)
_REPEATS = re.compile(r"\{(\d+),?(\d*)\}")
_MOST_REPEATS = 1000
"""What RE2 takes."""


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
        kind = _type_of(schema)
        if kind not in _KNOWN:
            raise NotStructural(path, f"every node needs one type, not {kind!r}")
        unknown = schema.keys() - _KNOWN[kind] - _KNOWN_ON_EVERY_TYPE
        if unknown:
            raise NotStructural(path, f"the API server knows no {', '.join(sorted(unknown))} on type {kind}")
        _check_rules(schema.get("x-kubernetes-validations", ()), path)
        _check_pattern(schema.get("pattern", ""), path)
        if kind == "array":
            schema["items"] = self._items(schema, path, within)
        if kind == "object":
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

    def _items(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        if not schema.get("items"):
            raise NotStructural(path, "a list has to say what its items are, or it loses what is in them")
        items = self.convert(schema["items"], f"{path}[]", within)
        if schema.get("x-kubernetes-list-type") == "set" and _type_of(items) in {"array", "object"}:
            raise NotStructural(path, "a set holds scalars only")
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            field = items.get("properties", {}).get(key, {})
            if key not in items.get("required", ()) and "default" not in field:
                raise NotStructural(path, f"the key {key} of a list map has to be required, or to have a default")
        return items

    def _fields(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        if properties := schema.get("properties"):
            if "additionalProperties" in schema:
                raise NotStructural(path, "properties and additionalProperties exclude each other")
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


def _type_of(schema: Schema) -> Any:  # noqa: ANN401 -- any value of pydantic, also lists
    return "integer or string" if schema.get("x-kubernetes-int-or-string") else schema.get("type")


def _check_rules(rules: Iterable[Schema], path: str) -> None:
    for rule in rules:
        unknown = rule.keys() - _KNOWN_IN_RULES
        if unknown or not rule.get("rule"):
            raise NotStructural(path, f"a rule has a `rule`, and no {', '.join(sorted(unknown))}")


def _check_pattern(pattern: str, path: str) -> None:
    if found := _NOT_RE2.search(pattern):
        raise NotStructural(path, f"RE2 does not know {found.group()} (in {pattern})")
    if any(int(bound or 0) > _MOST_REPEATS for bounds in _REPEATS.findall(pattern) for bound in bounds):
        raise NotStructural(path, f"RE2 takes at most {_MOST_REPEATS} repeats (in {pattern})")


def _without_nulls(value: Any) -> Any:  # noqa: ANN401 -- any JSON value
    """Remove nulls from a default, because a field that is not nullable refuses them there too."""
    if isinstance(value, dict):
        return {key: _without_nulls(member) for key, member in value.items() if member is not None}
    return value
