"""The alerts of `manifests/monitoring` are rules that Prometheus takes, and fire when they should: promtool says so."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from queue_recovery.api.metrics import METRICS, Metric, MetricKind
from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.recovery.phase import TERMINAL
from sandbox.processes import ROOT
from sandbox.promtool import find_promtool
from tests.docs.texts import anchors
from tests.manifests.conftest import Cluster

_TESTS = Path(__file__).with_name("alerts.yaml")
_RULE = yaml.safe_load((ROOT / "manifests" / "monitoring" / "alerts.yaml").read_text())
ALERTS = _RULE["spec"]["groups"][0]["rules"]
EXPRESSIONS = " ".join(alert["expr"] for alert in ALERTS)

pytestmark = pytest.mark.timeout(1200)  # the first time, promtool is built


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the rules, as Prometheus reads them, and with their tests."""
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(_RULE["spec"]))
    shutil.copy(_TESTS, tmp_path)
    return tmp_path


def promtool(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run promtool in a folder and return its exit code and all that it wrote."""
    done = subprocess.run(
        [find_promtool(), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


def test_promtool_accepts_the_rules(folder: Path) -> None:
    code, said = promtool(folder, "check", "rules", "--lint-fatal", "rules.yaml")

    assert (code, f"{len(ALERTS)} rules found" in said) == (0, True), said


def test_the_alerts_fire_when_they_should_and_not_before(folder: Path) -> None:
    code, said = promtool(folder, "test", "rules", _TESTS.name)

    assert code == 0, said


@pytest.mark.thorough
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_that_never_fires_fails_its_tests(folder: Path, alert: dict[str, Any]) -> None:
    never = {**alert, "expr": f"({alert['expr']}) and on () vector(1) > 2"}
    rules = [never if each is alert else each for each in ALERTS]
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "never", "rules": rules}]}))

    code, said = promtool(folder, "test", "rules", _TESTS.name)

    assert (code, alert["alert"] in said) == (1, True), said


def exposed(metric: Metric) -> set[str]:
    """Return the names under which Prometheus stores a metric."""
    is_histogram = metric.kind is MetricKind.HISTOGRAM
    return {metric.name + end for end in (("_bucket", "_count", "_sum") if is_histogram else ("",))}


def test_every_metric_that_an_alert_uses_is_one_of_the_operators() -> None:
    used = set(re.findall(r"\bqueue_recovery_\w+", EXPRESSIONS))

    assert used
    assert used <= set().union(*map(exposed, METRICS))


def test_every_value_of_a_label_that_an_alert_asks_for_exists() -> None:
    values = {
        "outcome": {phase.value for phase in TERMINAL},
        "reason": {reason.value for reason in Reason if reason.outcome is Outcome.SKIPPED},
    }
    asked = re.findall(r'(\w+)="([^"]*)"', EXPRESSIONS)

    assert asked
    assert [pair for pair in asked if pair[1] not in values[pair[0]]] == []


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_the_runbook_of_an_alert_is_a_section_of_a_page(alert: dict[str, Any]) -> None:
    page, _, section = alert["annotations"]["runbook"].partition("#")

    assert section in anchors((ROOT / page).read_text())


def test_the_page_lists_every_alert_with_its_severity() -> None:
    rows = re.findall(r"^\| `(QueueRecovery\w+)` \| (\w+) \|", (ROOT / "docs" / "operate.md").read_text(), re.MULTILINE)

    assert rows == [(alert["alert"], alert["labels"]["severity"]) for alert in ALERTS]


def test_the_kustomization_renders_the_rules_unchanged(cluster: Cluster) -> None:
    (rendered,) = yaml.safe_load_all(cluster.kubectl("kustomize", "manifests/monitoring"))

    assert rendered["spec"] == _RULE["spec"]
    assert (rendered["apiVersion"], rendered["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
