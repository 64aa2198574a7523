"""The two CustomResourceDefinitions, generated from the models.

`python -m queue_recovery.api.crd crds/` writes them; with `--check` it reports whether they are current.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from queue_recovery.api.base import GROUP, VERSION
from queue_recovery.api.columns import RECOVERY_COLUMNS, TARGET_COLUMNS, Column
from queue_recovery.api.generated import write_or_check
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.structural import Schema, structural
from queue_recovery.api.target import QueueTargetSpec, QueueTargetStatus

_MODULE = "queue_recovery.api.crd"
_HEADER = f"# Generated from the models by `python -m {_MODULE}`; do not edit.\n"


@dataclass(frozen=True, kw_only=True)
class Resource:
    """The parts of a definition other than its schema."""

    kind: str
    plural: str
    short_name: str
    description: str
    spec: type[BaseModel]
    status: type[BaseModel]
    columns: Sequence[Column]


QUEUE_RECOVERY = Resource(
    kind="QueueRecovery",
    plural="queuerecoveries",
    short_name="qr",
    description="A QueueRecovery recovers a stuck Celery queue: it stops the workers, takes the queue's messages out "
    "of Redis and stores them, starts the workers again, and enqueues the listed jobs as new tasks, once each.",
    spec=QueueRecoverySpec,
    status=QueueRecoveryStatus,
    columns=RECOVERY_COLUMNS,
)

QUEUE_TARGET = Resource(
    kind="QueueTarget",
    plural="queuetargets",
    short_name="qt",
    description="A QueueTarget describes what may be recovered in this namespace, and how to reach it: a broker, a job "
    "store, and the queues with their workers. It is written once, by the platform team.",
    spec=QueueTargetSpec,
    status=QueueTargetStatus,
    columns=TARGET_COLUMNS,
)

RESOURCES = (QUEUE_RECOVERY, QUEUE_TARGET)


def definition(resource: Resource) -> dict[str, Any]:
    """Return the CustomResourceDefinition of a resource."""
    singular = resource.kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{resource.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": resource.kind,
                "listKind": f"{resource.kind}List",
                "plural": resource.plural,
                "singular": singular,
                "shortNames": [resource.short_name],
                "categories": ["celery"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in resource.columns],
                    "schema": {"openAPIV3Schema": _served(resource_schema(resource))},
                }
            ],
        },
    }


def resource_schema(resource: Resource) -> Schema:
    """Return the structural schema of a whole resource."""
    return {
        "type": "object",
        "description": resource.description,
        "required": ["spec"],
        "properties": {
            "spec": structural(resource.spec.model_json_schema(by_alias=True)),
            "status": _status(resource.status),
        },
    }


def default_as_text(field: Schema) -> str:
    """Return a field's default as JSON; empty if it has none, or only defaults of its own fields."""
    default = field.get("default", {})
    return "" if isinstance(default, dict) else json.dumps(default)


def _served(schema: Schema) -> Schema:
    """Return a resource's schema as the API server gets it, with less defaults and with a description of each."""
    described = _described(schema)
    parts = described["properties"]
    return described | {"properties": parts | {"spec": _without_defaults_in_lists(parts["spec"])}}


def _without_defaults_in_lists(schema: Schema) -> Schema:
    """Remove the defaults of what is in a list; the operator's models have them too.

    Tools that compare what is in Git with what is stored, such as `kubectl apply` and Argo CD, compare a list of a
    custom resource as a whole. So a default that the API server adds in one looks like a change to them each time.
    """
    if "items" in schema:
        return schema | {"items": _without_defaults(schema["items"])}
    return _with_parts(schema, _without_defaults_in_lists)


def _described(schema: Schema) -> Schema:
    """Return a schema whose descriptions state the defaults, because `kubectl explain` omits them."""
    if told := default_as_text(schema):
        schema = schema | {"description": f"{schema['description']} Default: {told}."}
    return _with_parts(schema, _described)


def _status(model: type[BaseModel]) -> Schema:
    """Return the schema of a status, in which only `observedGeneration` has a default: -1.

    Tools that use kstatus treat a resource without a status as finished. With this default, they treat it as not yet
    observed. A default for another field would state something that was not observed.
    """
    schema = structural(model.model_json_schema(by_alias=True))
    initial = schema["properties"]["observedGeneration"]["default"]
    schema = _without_defaults(schema)
    schema["properties"]["observedGeneration"]["default"] = initial
    return schema | {"default": {}}


def _without_defaults(schema: Schema) -> Schema:
    """Remove the defaults, but not those of the keys of a list: a key has to have a value."""
    bare = _with_parts({key: value for key, value in schema.items() if key != "default"}, _without_defaults)
    for key in schema.get("x-kubernetes-list-map-keys", ()):
        if "default" in (field := schema["items"]["properties"][key]):
            bare["items"]["properties"][key]["default"] = field["default"]
    return bare


def _with_parts(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return the schema with its fields, or its items, changed."""
    if "properties" in schema:
        return schema | {"properties": {name: change(field) for name, field in schema["properties"].items()}}
    if "items" in schema:
        return schema | {"items": change(schema["items"])}
    return schema


def _column(column: Column) -> dict[str, Any]:
    shown = {
        "name": column.name,
        "type": column.type,
        "description": column.description,
        "jsonPath": column.path,
    }
    return shown | {"priority": 1} if column.wide else shown


def files() -> Mapping[str, str]:
    """Return the text of each file in `crds/`, by its name."""
    import yaml  # noqa: PLC0415 -- a dependency of the Kubernetes client; a reader of models alone needs none

    return {
        f"{resource.plural}.yaml": _HEADER + yaml.safe_dump(_unshared(definition(resource)), width=110)
        for resource in RESOURCES
    }


def _unshared(tree: dict[str, Any]) -> Any:  # noqa: ANN401 -- what JSON reads back
    """Return a copy without shared parts, which YAML would write as anchors and aliases."""
    return json.loads(json.dumps(tree))


if __name__ == "__main__":
    sys.exit(write_or_check(_MODULE, "Write the CustomResourceDefinitions.", files()))
