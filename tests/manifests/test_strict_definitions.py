"""A strict apply finds what is wrong with a definition, so the converter (`api/structural.py`) need not look for it."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest

from queue_recovery.api.crd import QUEUE_TARGET, RESOURCES, definition
from tests.manifests.conftest import Cluster

STRICT = ("apply", "--dry-run=server", "--validate=strict", "-f", "-")


def with_field(field: Mapping[str, object]) -> dict[str, Any]:
    """Return the definition of a target whose spec has one field more."""
    changed = copy.deepcopy(definition(QUEUE_TARGET))
    schema = changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["spec"]["properties"]["it"] = field
    return changed


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)
def test_the_definitions_pass_a_strict_apply(cluster: Cluster, resource: Any) -> None:  # noqa: ANN401  # a row of RESOURCES
    cluster.kubectl(*STRICT, given=definition(resource))


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        pytest.param({"description": "anything"}, "type", id="no type"),
        pytest.param({"type": "string", "minLenght": 1}, "minLenght", id="misspelt"),
        pytest.param({"type": "array"}, "items", id="a list of anything"),
        pytest.param({"type": "string", "pattern": "(?=a)"}, "pattern", id="lookahead"),
        pytest.param({"type": "string", "pattern": "a{2,1001}"}, "pattern", id="too many repeats"),
        pytest.param(
            {"type": "string", "x-kubernetes-validations": [{"rule": "true", "mesage": "no"}]}, "mesage", id="rule"
        ),
        pytest.param({"type": "string", "x-kubernetes-validations": [{"message": "no"}]}, "rule", id="no rule"),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
            "additionalProperties",
            id="fields beside other fields",
        ),
        pytest.param(
            {
                "type": "array",
                "items": {"type": "object", "properties": {"a": {"type": "string"}}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
            "name",
            id="a list map by a key that is not there",
        ),
        pytest.param(
            {
                "type": "array",
                "items": {"type": "object", "properties": {"a": {"type": "string"}}},
                "x-kubernetes-list-type": "set",
            },
            "set",
            id="a set of objects",
        ),
    ],
)
def test_a_strict_apply_refuses_what_is_wrong_with_a_field(
    cluster: Cluster, field: Mapping[str, object], problem: str
) -> None:
    refusal = cluster.refusal(*STRICT, given=with_field(field))

    assert problem in refusal, json.dumps(field)
