"""`docs/reference.md`, generated from the models and the metrics.

`python -m queue_recovery.api.reference docs/` writes it and `docs/troubleshooting.md`; with `--check` it reports
whether both are current.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence

from queue_recovery.api.base import API_VERSION, Explained
from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.crd import RESOURCES, Resource, default_as_text, resource_schema
from queue_recovery.api.generated import write_or_check
from queue_recovery.api.metrics import METRICS
from queue_recovery.api.reasons import Outcome
from queue_recovery.api.recovery_status import Phase
from queue_recovery.api.structural import Schema
from queue_recovery.api.troubleshooting import troubleshooting

_MODULE = "queue_recovery.api.reference"

_HEADER = f"""<!-- Generated from the models by `python -m {_MODULE}`; do not edit. -->

# Reference

Two resources of `{API_VERSION}`, both namespaced. A reference from one to another, or to a Secret or a Deployment,
is always to the same namespace. `kubectl explain` shows the same descriptions.
"""

_WARNINGS = ", ".join(f"*{outcome}*" for outcome in Outcome if outcome.warns)

_EVENTS = f"""## Events

The operator posts an event (`events.k8s.io`) on a recovery when its phase changes, and when what it does or waits for
changes. `kubectl describe queuerecovery NAME` lists them. The event's reason is one of those in
[troubleshooting.md](troubleshooting.md), and its note begins with the phase if that has changed. It is a `Warning` if
the reason is listed there under one of {_WARNINGS}; otherwise it is `Normal`.

On a target it posts one when a condition becomes False or has another reason (`Warning`), when one that was False is
True again, and when the target becomes ready (both `Normal`). `kubectl describe queuetarget NAME` lists them. The note
begins with the condition's type. Changes of one target within 10 seconds are posted as one event.
"""

_RANGES = (("minimum", "maximum", ""), ("minLength", "maxLength", " characters"), ("minItems", "maxItems", " items"))


def reference() -> str:
    """Return the whole page."""
    parts = [
        _HEADER,
        *(_resource(resource) for resource in RESOURCES),
        _explained("Phases of a recovery", "Phase", Phase),
        _explained("Conditions", "Condition", ConditionType),
        _EVENTS,
        _metrics(),
    ]
    return "\n".join(parts)


def _resource(resource: Resource) -> str:
    schema = resource_schema(resource)
    spec, status = (schema["properties"][part] for part in ("spec", "status"))
    lines = [
        f"## {resource.kind}",
        "",
        f"`kubectl get {resource.plural}`, in short `{resource.short_name}`.",
        resource.description,
        "",
        *_table(
            ("Column", "Shows", "From"),
            (
                (f"{column.name} (`-o wide`)" if column.wide else column.name, column.description, f"`{column.path}`")
                for column in resource.columns
            ),
        ),
        "",
        f"### {resource.kind} spec",
        "",
        spec["description"],
        "",
        *_table(("Field", "Type", "Default", "Description"), _fields(spec, "")),
        "",
        "The API server refuses what breaks one of these rules:",
        "",
        *_rule_lines(spec),
        "",
        f"### {resource.kind} status",
        "",
        status["description"],
        "",
        *_table(("Field", "Type", "Description"), ((row[0], row[1], row[3]) for row in _fields(status, ""))),
        "",
    ]
    return "\n".join(lines)


def _fields(schema: Schema, path: str) -> Iterator[Sequence[str]]:
    """Yield a row for each field, with those inside it right after it."""
    required = schema.get("required", ())
    for name, field in schema["properties"].items():
        here = f"{path}{name}"
        shown = "required" if name in required else _code(default_as_text(field))
        yield f"`{here}`", _type(field), shown, field["description"]
        inner, ending = (field["items"], "[].") if "items" in field else (field, ".")
        if "properties" in inner:
            yield from _fields(inner, f"{here}{ending}")


def _type(field: Schema) -> str:
    """Describe a field's type and bounds."""
    bounds = [range_ for low, high, unit in _RANGES if (range_ := _range(field.get(low), field.get(high), unit))]
    if field.get("x-kubernetes-list-type") == "set":
        bounds.append("none twice")
    if "x-kubernetes-list-map-keys" in field:
        bounds.append(f"told apart by {_code(', '.join(field['x-kubernetes-list-map-keys']))}")
    if "pattern" in field:
        bounds.append(f"matches {_code(field['pattern'])}")
    return ", ".join([_kind(field), *bounds])


def _range(low: int | None, high: int | None, unit: str) -> str:
    if low is None:
        return "" if high is None else f"at most {high}{unit}"
    return f"at least {low}{unit}" if high is None else f"{low} to {high}{unit}"


def _kind(field: Schema) -> str:
    if "enum" in field:
        return "one of " + ", ".join(_code(value) for value in field["enum"])
    if field.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if field["type"] == "array":
        items = field["items"]
        return "list of objects" if "properties" in items else f"list of: {_type(items)}"
    return "time" if field.get("format") == "date-time" else str(field["type"])


def _rule_lines(spec: Schema) -> Iterator[str]:
    places: dict[str, list[str]] = {}
    for path, message in _rules(spec, "spec"):
        places.setdefault(message, []).append(_code(path))
    for message, paths in places.items():
        yield f"- {', '.join(paths)}: {message}."


def _rules(schema: Schema, path: str) -> Iterator[tuple[str, str]]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield path + rule.get("fieldPath", ""), rule["message"]
    for name, field in schema.get("properties", {}).items():
        yield from _rules(field, f"{path}.{name}")
    if "items" in schema:
        yield from _rules(schema["items"], f"{path}[]")


def _explained(title: str, column: str, words: Iterable[Explained]) -> str:
    rows = ((f"`{word}`", word.meaning) for word in words)
    return "\n".join([f"## {title}", "", *_table((column, "Meaning"), rows), ""])


def _metrics() -> str:
    rows = (
        (f"`{metric.name}`", metric.kind, ", ".join(_code(label) for label in metric.labels), metric.help)
        for metric in METRICS
    )
    return "\n".join(
        [
            "## Metrics",
            "",
            "Served at `/metrics` on port `http` (8080) of the operator's pod.",
            "",
            *_table(("Metric", "Kind", "Labels", "Meaning"), rows),
            "",
        ]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def files() -> Mapping[str, str]:
    """Return the texts of the pages, by the names of their files in `docs/`."""
    return {"reference.md": reference(), "troubleshooting.md": troubleshooting()}


if __name__ == "__main__":
    sys.exit(write_or_check(_MODULE, "Write the reference of both resources, and the page of reasons.", files()))
