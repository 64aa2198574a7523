"""What a reader may copy from a page is what the API server takes: every YAML block, and every `kubectl apply -k`."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from queue_recovery.api.recovery_status import Plan
from sandbox.processes import ROOT
from tests.docs.texts import PAGES
from tests.manifests.conftest import Cluster
from tests.manifests.objects import recovery, target

_TESTED_APART = ("# kustomization.yaml",)
"""How blocks begin that another test runs: test_install_page.py."""

_OF_TOOLS = {"Application"}
"""Kinds of tools that the cluster does not have; `examples/gitops` was checked against their definitions by hand."""

_RECOVERY = {"purge", "queue"}
_TARGET = {"broker", "diagnosis", "jobStore"}
"""Fields of a spec with which an excerpt begins."""


def blocks() -> list[tuple[str, str]]:
    """Return the page and the text of every YAML block."""
    return [
        (str(page), text)
        for page in PAGES
        for text in re.findall(r"^```yaml\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
        if not text.startswith(_TESTED_APART)
    ]


def whole(found: dict[str, Any]) -> dict[str, Any] | None:
    """Return the object that a block is, or that it is an excerpt of; None: it is one of a status."""
    if "kind" in found:
        return found
    if found.keys() == {"spec"}:
        return {**recovery("excerpt"), **found}
    if found.keys() & _RECOVERY:
        return recovery("excerpt", **found)
    if found.keys() & _TARGET:
        return target("excerpt", **found)
    return None


@pytest.mark.parametrize(("page", "text"), blocks(), ids=lambda value: value if value.endswith(".md") else "")
def test_the_api_server_takes_the_yaml_of_a_page(cluster: Cluster, namespace: str, page: str, text: str) -> None:
    for found in yaml.safe_load_all(text):
        body = whole(found)
        if body is None:
            assert found.keys() <= Plan.model_json_schema()["properties"].keys(), page
            continue
        if body["kind"] in _OF_TOOLS:
            continue
        body["metadata"]["namespace"] = namespace
        cluster.kubectl("apply", "--dry-run=server", "--validate=strict", "-f-", given=body)


def applied() -> list[tuple[str, ...]]:
    """Return the words behind `kubectl` of every command of a page that applies a folder of this repository."""
    named = {
        command
        for page in PAGES
        for command in re.findall(
            r"kubectl (apply (?:-n \w+ |--server-side )?-k (?:manifests|crds)[/\w-]*)", (ROOT / page).read_text()
        )
    }
    return sorted(tuple(command.split()) for command in named)


@pytest.mark.thorough
@pytest.mark.parametrize("command", applied(), ids=" ".join)
def test_the_folders_that_a_page_applies_can_be_applied(
    cluster: Cluster, namespace: str, command: tuple[str, ...]
) -> None:
    rendered = list(yaml.safe_load_all(cluster.kubectl("kustomize", command[-1])))

    assert rendered
    if command[-1] in {"manifests/argocd", "manifests/monitoring"}:
        return  # they need what another product brings: test_argocd.py and test_alerts.py
    here = [namespace if word in {"media", "NAMESPACE"} else word for word in command]
    cluster.kubectl(*here, "--dry-run=server")


def test_every_folder_of_manifests_that_can_be_applied_alone_is_named_in_a_page() -> None:
    named = {command[-1].rstrip("/") for command in applied()}
    folders = {str(Path(path).parent.relative_to(ROOT)) for path in ROOT.glob("manifests/**/kustomization.yaml")}

    assert folders <= named


def test_a_recovery_that_is_suspended_is_resumed_by_the_readmes_command(cluster: Cluster, namespace: str) -> None:
    [command] = re.findall(r"`kubectl (patch qr .*\"suspend\":false.*)`", (ROOT / "README.md").read_text())
    _, _, name, *_ = command.split()
    (written,) = (yaml.safe_load(text) for page, text in blocks() if page == "README.md" and f"name: {name}," in text)
    written["spec"]["suspend"] = True
    cluster.kubectl("apply", "-n", namespace, "-f-", given={**written, "metadata": {"name": name}})

    cluster.kubectl(*command.replace("media", namespace).replace("'", "").split())

    assert (
        "suspend" not in cluster.read("qr", name, "-n", namespace)["spec"]
        or not (cluster.read("qr", name, "-n", namespace)["spec"]["suspend"])
    )
