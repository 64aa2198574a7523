"""The rendered definitions, without a server; `tests/manifests` shows them to one."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.api import crd, reference
from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.crd import QUEUE_RECOVERY, QUEUE_TARGET, RESOURCES, Resource, default_as_text, definition
from queue_recovery.api.generated import write_or_check
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from tests.api.structural_rules import Schema, unbounded

ROOT = Path(__file__).parents[2]
by_kind = pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.kind)


def version(resource: Resource) -> dict[str, Any]:
    """Return the one version of a resource's definition."""
    (only,) = definition(resource)["spec"]["versions"]
    return dict(only)


def root(resource: Resource) -> Schema:
    schema: Schema = version(resource)["schema"]["openAPIV3Schema"]
    return schema


def fields(schema: Schema) -> list[Schema]:
    """Return every node that has a place in the resource's YAML."""
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [schema, *(node for part in inner for node in fields(part))]


@by_kind
def test_every_text_and_every_list_has_a_bound(resource: Resource) -> None:
    assert list(unbounded(root(resource))) == []


@by_kind
def test_every_field_is_described(resource: Resource) -> None:
    named = [node for part in fields(root(resource)) for node in part.get("properties", {}).values()]

    assert [node for node in named if not node.get("description", "").strip().endswith((".", "`", ")"))] == []


@by_kind
def test_every_default_is_told_in_the_description_that_kubectl_explain_shows(resource: Resource) -> None:
    told = [node for node in fields(root(resource)) if default_as_text(node)]

    assert told
    assert [node for node in told if not node["description"].endswith(f"Default: {default_as_text(node)}.")] == []


@by_kind
def test_in_a_status_nothing_but_the_generation_and_keys_of_lists_have_a_default(resource: Resource) -> None:
    status = root(resource)["properties"]["status"]

    assert status["default"] == {}
    assert status["properties"]["observedGeneration"]["default"] == -1
    keys = [
        node["items"]["properties"][key]
        for node in fields(status)
        for key in node.get("x-kubernetes-list-map-keys", ())
    ]
    assert [node["default"] for node in fields(status)[1:] if "default" in node and node not in keys] == [-1]


@by_kind
def test_a_spec_is_required_and_a_status_is_a_subresource(resource: Resource) -> None:
    assert root(resource)["required"] == ["spec"]
    assert version(resource)["subresources"] == {"status": {}}


@by_kind
def test_every_column_shows_something_that_the_schema_has(resource: Resource) -> None:
    for column in resource.columns:
        if column.path.startswith(".metadata."):
            continue
        path, _, condition = column.path.partition("[?(@.type==")
        node = root(resource)
        for name in path.strip(".").split("."):
            node = node["properties"][name]
        if condition:
            name, _, member = condition.partition(")].")
            assert ConditionType(name.strip('"'))
            node = node["items"]["properties"][member]
        shown = "date" if node.get("format") == "date-time" else node["type"]
        assert shown == column.type


def test_a_recovery_prints_queue_phase_reason_purged_progress_and_age_and_more_when_wide() -> None:
    names = [(column.name, column.wide) for column in QUEUE_RECOVERY.columns]

    assert [name for name, wide in names if not wide] == ["Queue", "Phase", "Reason", "Purged", "Re-enqueued", "Age"]
    assert [name for name, wide in names if wide] == ["Target", "Message", "Quarantine", "Redelivered"]


def test_a_target_prints_what_people_ask_redis_for() -> None:
    names = [column.name for column in QUEUE_TARGET.columns if not column.wide]

    assert names == ["Ready", "Broker", "Job store", "Depth", "Stuck", "Oldest unacked", "Age"]


def test_every_field_of_a_recovery_is_fixed_but_suspend_and_cancel() -> None:
    rules = root(QUEUE_RECOVERY)["properties"]["spec"]["x-kubernetes-validations"]
    fixed = {
        rule["fieldPath"].removeprefix(".") for rule in rules if rule["message"].startswith("immutable once created")
    }
    aliases = {field.alias for field in QueueRecoverySpec.model_fields.values()}

    assert fixed == aliases - {"suspend", "cancel"}


def test_what_has_rules_needs_no_guard_because_it_has_a_default_or_is_required_or_else_has_one() -> None:
    spec = root(QUEUE_RECOVERY)["properties"]["spec"]
    rules = [rule["rule"] for rule in spec["x-kubernetes-validations"]]

    for name, field in spec["properties"].items():
        if "default" not in field and name not in spec["required"]:
            found = [rule for rule in rules if f"self.{name}" in rule or f"oldSelf.{name}" in rule]
            assert found, name
            assert all(f"has(self.{name})" in rule for rule in found), f"oldSelf.{name} may be absent"


def test_the_fields_that_rules_ask_for_by_has_have_no_default() -> None:
    job = root(QUEUE_RECOVERY)["properties"]["spec"]["properties"]["jobs"]["items"]

    assert [name for name, field in job["properties"].items() if "default" in field] == []
    assert "required" not in job


def test_no_reference_can_name_another_namespace() -> None:
    for resource in RESOURCES:
        for node in fields(root(resource)):
            assert "namespace" not in node.get("properties", {})


def test_the_files_hold_no_anchors() -> None:
    for text in crd.files().values():
        events = yaml.parse(text)
        assert not [event for event in events if isinstance(event, yaml.AliasEvent)]


def test_the_files_read_back_as_the_definitions() -> None:
    for resource in RESOURCES:
        text = crd.files()[f"{resource.plural}.yaml"]
        assert text.startswith("# Generated")
        assert yaml.safe_load(text) == definition(resource)


@pytest.mark.parametrize(("folder", "contents"), [("crds", crd.files()), ("docs", reference.files())])
def test_the_files_in_the_repository_are_current(folder: str, contents: dict[str, str]) -> None:
    for name, text in contents.items():
        assert (ROOT / folder / name).read_text() == text, f"run `python -m queue_recovery.api...` for {folder}/{name}"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 -- a command line
    def command(contents: dict[str, str], *arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["x", *map(str, arguments)])
        return write_or_check("module", "What it does.", contents)

    return command


def test_what_was_written_is_current_and_what_was_edited_or_deleted_is_not(
    run: Any,  # noqa: ANN401
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder, contents = tmp_path / "made", {"a.yaml": "a: 1\n", "b.yaml": "b: 2\n"}
    assert run(contents, folder) == 0
    assert run(contents, folder, "--check") == 0
    capsys.readouterr()

    (folder / "a.yaml").write_text("a: 3\n")
    (folder / "b.yaml").unlink()

    assert run(contents, folder, "--check") == 1
    said = capsys.readouterr().out
    assert f"a.yaml is out of date: run `python -m module {folder}`" in said
    assert "b.yaml is missing" in said
    assert (folder / "a.yaml").read_text() == "a: 3\n", "a check writes nothing"


@given(st.integers() | st.text(max_size=3) | st.booleans() | st.lists(st.integers()))
def test_a_default_of_any_kind_is_described(value: object) -> None:
    assert default_as_text({"default": value})


def test_an_object_tells_no_default_because_its_fields_do() -> None:
    assert default_as_text({"default": {"mode": "None"}}) == ""
    assert default_as_text({"type": "string"}) == ""
