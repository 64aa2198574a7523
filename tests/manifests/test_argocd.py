"""The health and the actions of `manifests/argocd`, by tests in the form of Argo CD's own, in the Lua that it runs."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.gitops_health import GitOpsHealth
from tests import readme
from tests.manifests.conftest import Cluster

TESTS = Path(__file__).with_name("argocd")
RECOVERY, TARGET = "queuerecovery.dev_QueueRecovery", "queuerecovery.dev_QueueTarget"

pytestmark = pytest.mark.timeout(600)  # the first time, what runs the scripts is built


@pytest.fixture(scope="module")
def argocd() -> Iterator[GitOpsHealth]:
    with GitOpsHealth() as started:
        yield started


@pytest.fixture
def settings(cluster: Cluster) -> dict[str, str]:
    """What the kustomization adds to Argo CD's ConfigMap."""
    (config_map,) = yaml.safe_load_all(cluster.kubectl("kustomize", "manifests/argocd"))
    assert (config_map["metadata"]["name"], config_map["metadata"]["namespace"]) == ("argocd-cm", "argocd")
    return dict(config_map["data"])


def content(path: str) -> Any:  # noqa: ANN401 -- any YAML
    return yaml.safe_load((TESTS / path).read_text())


def cases(path: str, kind: str) -> list[dict[str, Any]]:
    return list(content(path)[kind])


@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (kind, case)
        for kind, path in {RECOVERY: "recovery_health_test.yaml", TARGET: "target_health_test.yaml"}.items()
        for case in cases(path, "tests")
    ],
    ids=lambda value: Path(value["inputPath"]).stem if isinstance(value, dict) else "",
)
def test_the_health_is_as_expected(
    argocd: GitOpsHealth, settings: dict[str, str], kind: str, case: dict[str, Any]
) -> None:
    script = settings[f"resource.customizations.health.{kind}"]

    assert argocd.lua(script, content(case["inputPath"])) == case["healthStatus"]


@pytest.mark.parametrize(
    "case", cases("recovery_action_test.yaml", "discoveryTests"), ids=lambda case: Path(case["inputPath"]).stem
)
def test_the_actions_are_offered_where_they_make_sense(
    argocd: GitOpsHealth, settings: dict[str, str], case: dict[str, Any]
) -> None:
    actions = yaml.safe_load(settings[f"resource.customizations.actions.{RECOVERY}"])

    offered = argocd.lua(actions["discovery.lua"], content(case["inputPath"]))

    assert [{"name": name, **about} for name, about in sorted(offered.items())] == case["result"]
    assert set(offered) == {each["name"] for each in actions["definitions"]}


@pytest.mark.parametrize("case", cases("recovery_action_test.yaml", "actionTests"), ids=lambda case: case["action"])
def test_an_action_changes_what_it_says_and_nothing_else(
    argocd: GitOpsHealth, settings: dict[str, str], case: dict[str, Any]
) -> None:
    actions = yaml.safe_load(settings[f"resource.customizations.actions.{RECOVERY}"])
    [script] = [each["action.lua"] for each in actions["definitions"] if each["name"] == case["action"]]

    assert argocd.lua(script, content(case["inputPath"])) == content(case["expectedOutputPath"])


def test_argo_cds_other_settings_stay_when_the_kustomization_is_applied_on_the_servers_side(cluster: Cluster) -> None:
    cluster.kubectl("create", "namespace", "argocd")
    cluster.kubectl("create", "configmap", "argocd-cm", "-n", "argocd", "--from-literal=url=https://cd.example.com")

    [command] = readme.commands("Health", "docs/gitops.md")
    cluster.kubectl(*shlex.split(command)[1:])

    data = cluster.read("configmap", "argocd-cm", "-n", "argocd")["data"]
    assert data["url"] == "https://cd.example.com"
    assert len(data) == 4
