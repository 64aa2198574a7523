"""What a schema has to have although the API server does not ask for it: every text and every list is bounded.

CEL's cost budget and etcd's object size both depend on it.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]


def unbounded(schema: Schema, path: str = "") -> Iterator[str]:
    """Yield the places of texts and lists without a bound."""
    is_text = schema.get("type") == "string" or schema.get("x-kubernetes-int-or-string")
    if is_text and "maxLength" not in schema and "enum" not in schema:
        yield f"{path}: a text"
    if schema.get("type") == "array" and "maxItems" not in schema:
        yield f"{path}: a list"
    for name, field in schema.get("properties", {}).items():
        yield from unbounded(field, f"{path}.{name}")
    for key, place in (("items", "[]"), ("additionalProperties", ".*")):
        if isinstance(inner := schema.get(key), dict):
            yield from unbounded(inner, f"{path}{place}")
