"""What pydantic's schemas become, and which of them are refused."""

import copy
import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from queue_recovery.api.structural import NotStructural, Schema, structural


class Inner(BaseModel):
    """An inner thing."""

    size: int = 1


class Node(BaseModel):
    children: "list[Node]" = []


def field(annotation: object, default: object = ..., **extra: object) -> Schema:
    """Return what one field of that type becomes."""
    model: type[BaseModel] = type(
        "Sample",
        (BaseModel,),
        {"__annotations__": {"it": annotation}, "it": Field(default, **extra), "__module__": __name__},  # type: ignore[call-overload]
    )
    schema: Schema = structural(model.model_json_schema())["properties"]["it"]
    return schema


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        pytest.param(str, ..., {"type": "string"}, id="a title is dropped"),
        pytest.param(str | None, None, {"type": "string"}, id="what may be None may be absent"),
        pytest.param(
            Annotated[str, Field(max_length=3)] | None,
            "a",
            {"type": "string", "maxLength": 3, "default": "a"},
            id="bounds",
        ),
        pytest.param(Literal["a"], ..., {"type": "string", "enum": ["a"]}, id="a constant is an enum of one"),
        pytest.param(
            set[int], ..., {"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"}, id="set"
        ),
        pytest.param(
            dict[str, int],
            ...,
            {"type": "object", "additionalProperties": {"type": "integer"}},
            id="a map of known values",
        ),
        pytest.param(
            Annotated[int, Field(gt=0, lt=9)],
            ...,
            {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": True},
            id="exclusive bounds are a bound and a mark",
        ),
        pytest.param(
            StrictInt | Annotated[StrictStr, Field(max_length=9)] | None,
            None,
            {"x-kubernetes-int-or-string": True, "maxLength": 9},
            id="a number or a text",
        ),
        pytest.param(
            Inner | None,
            None,
            {
                "type": "object",
                "description": "An inner thing.",
                "properties": {"size": {"type": "integer", "default": 1}},
            },
            id="a reference is inlined",
        ),
    ],
)
def test_what_a_field_becomes(annotation: object, default: object, expected: Schema) -> None:
    assert field(annotation, default) == expected


def test_the_description_of_a_field_holds_over_that_of_its_type() -> None:
    assert field(Inner, description="This one.")["description"] == "This one."


def test_a_default_holds_no_nulls() -> None:
    class Maybe(BaseModel):
        size: int | None = None
        name: str = "a"

    assert field(Maybe, Maybe())["default"] == {"name": "a"}


def test_a_model_that_forbids_extra_fields_is_one_that_names_its_fields() -> None:
    class Closed(BaseModel):
        model_config = ConfigDict(extra="forbid")
        size: int = 1

    assert "additionalProperties" not in field(Closed)


@pytest.mark.parametrize(
    ("annotation", "extra", "problem"),
    [
        pytest.param(int | bool, {}, "only union", id="a union of other types"),
        pytest.param(StrictStr | StrictInt, {}, "in this order", id="text before number"),
        pytest.param(dict[str, Any], {}, "lose all", id="a map of anything"),
        pytest.param(Node, {}, "contains itself", id="recursion"),
        pytest.param(
            Annotated[int, Field(ge=0)],
            {"json_schema_extra": {"exclusiveMinimum": 1}},
            "exclude",
            id="two lower bounds",
        ),
    ],
)
def test_what_has_no_equivalent_is_refused_with_its_place(
    annotation: object, extra: dict[str, object], problem: str
) -> None:
    with pytest.raises(NotStructural, match=rf"^\.it.*{problem}"):
        field(annotation, **extra)


def test_a_reference_that_leads_nowhere_is_refused() -> None:
    with pytest.raises(NotStructural, match="leads nowhere"):
        structural({"type": "object", "properties": {"a": {"$ref": "#/$defs/Missing"}}})


_leaves = st.sampled_from(
    [
        {"type": "string", "maxLength": 9, "title": "T"},
        {"type": "integer", "minimum": 0},
        {"type": "boolean", "default": False},
        {"anyOf": [{"type": "string", "maxLength": 1}, {"type": "null"}], "default": None},
        {"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]},
        {"const": "a", "type": "string"},
        {"$ref": "#/$defs/Inner"},
    ]
).map(copy.deepcopy)
_schemas = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        inner.map(lambda items: {"type": "array", "items": items, "maxItems": 5}),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1).map(
            lambda fields: {"type": "object", "properties": fields, "additionalProperties": False}
        ),
        inner.map(lambda value: {"anyOf": [value, {"type": "null"}], "default": None, "title": "T"}),
    ),
    max_leaves=8,
)
_definitions = {"Inner": {"type": "object", "properties": {"size": {"type": "integer", "title": "Size"}}}}


@given(_schemas)
def test_a_conversion_leaves_no_reference_union_or_null_and_the_model_as_it_was(schema: Schema) -> None:
    before = copy.deepcopy(schema)

    made = structural({"type": "object", "properties": {"root": schema}, "$defs": _definitions})

    text = json.dumps(made)
    assert [word for word in ("$ref", "$defs", "anyOf", "null", "title", "const") if f'"{word}"' in text] == []
    assert schema == before, "the model's schema was changed in place"
