"""Each section of a page that has commands is run by a test, or says here why it is not."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.processes import ROOT
from tests.docs.texts import PAGES

Section = tuple[str, str]
"""Page and heading."""

RUN_BY: dict[Section, str] = {
    ("README.md", "See it"): "tests/demo/test_demo.py",
    ("README.md", "Install"): "tests/manifests/test_install_page.py",
    ("README.md", "Uninstall"): "tests/e2e/test_uninstall.py",
    ("README.md", "Without the operator"): "tests/workers/test_scale_back_script.py",
    ("README.md", "A recovery that cannot end"): "tests/e2e/test_uninstall.py",
    ("docs/diagnose.md", "The log"): "tests/e2e/test_log.py",
    ("docs/diagnosis.md", "Verdicts"): "tests/e2e/test_diagnosis.py",
    ("docs/diagnosis.md", "What it looks at"): "tests/broker/test_results.py",
    ("docs/diagnosis.md", "A recovery that is held"): "tests/e2e/test_diagnosis.py",
    ("docs/gitops.md", "Approval"): "tests/e2e/test_approval.py",
    ("docs/gitops.md", "Health"): "tests/manifests/test_argocd.py",
    ("docs/gitops.md", "The ledger"): "tests/e2e/test_copies.py",
    ("docs/install.md", "Helm"): "tests/node/test_upgrade.py",
    ("docs/install.md", "Named namespaces only"): "tests/manifests/test_documents.py",
    ("docs/install.md", "OpenShift"): "tests/manifests/test_documents.py",
    ("docs/install.md", "Upgrade"): "tests/manifests/test_install_page.py",
    ("docs/operate.md", "Alerts"): "tests/manifests/test_alerts.py",
    ("docs/operate.md", "Waiting in a script"): "tests/e2e/test_waiting_in_a_script.py",
    ("docs/quarantine.md", "By hand"): "tests/broker/test_putting_back_by_hand.py",
    ("docs/quarantine.md", "Look at them"): "tests/broker/test_putting_back_by_hand.py",
    ("docs/quarantine.md", "Put them back"): "tests/broker/test_putting_back_by_hand.py",
    ("docs/quarantine.md", "Remove them"): "tests/broker/test_putting_back_by_hand.py",
    ("docs/quarantine.md", "Remove the operator's records"): "tests/broker/test_putting_back_by_hand.py",
    ("docs/security.md", "What the operator may change"): "tests/manifests/test_admission.py",
    ("docs/security.md", "Who may use a target, and who may approve"): "tests/manifests/test_approvals.py",
    ("docs/security.md", "What the broker's user needs"): "tests/broker/test_teams_apart.py",
    ("docs/security.md", "What the job store's user needs"): "tests/mongodb.py",
    ("docs/security.md", "The network"): "tests/manifests/test_network.py",
    ("docs/stuck.md", "Proposals"): "tests/e2e/test_redelivery.py",
}
"""By a test, or by what tests are built on."""

NOT_RUN: dict[Section, str] = {
    ("README.md", "QueueRecovery"): "what does not help; tests/demo shows that it does not",
    ("README.md", "Develop"): "it runs the tests",
    ("CONTRIBUTING.md", "Contributing"): "it runs the tests",
    ("docs/image.md", "Contents and known vulnerabilities"): "it asks PyPI; CI runs it",
    ("docs/image.md", "Labels"): "it needs a builder of images; tests/node builds the same Dockerfile with another one",
    ("docs/install.md", "The image"): "builders and registries; the commands for kubectl are in test_install_page.py",
    ("docs/performance.md", "Performance"): "it takes half an hour on a quiet machine",
}


def sections() -> Iterator[Section]:
    """Yield each section that has a command: a line that is indented by four spaces, or in a fence of `sh`."""
    for page in PAGES:
        heading, language = "", ""
        if page.parts[0] == "examples" or page.parent.name == "decisions":
            continue
        for line in (ROOT / page).read_text().splitlines():
            if line.startswith("```"):
                language = "" if language else line.removeprefix("```") or "text"
            elif not language and (found := re.match(r"#+ (.*)", line)):
                heading = found[1]
            elif language in {"sh", "javascript"} or (not language and line.startswith("    ")):
                yield str(page), heading


def test_every_section_with_commands_is_run_by_a_test_or_says_why_not() -> None:
    assert set(sections()) == RUN_BY.keys() | NOT_RUN.keys()


@pytest.mark.parametrize("page", [page for page in PAGES if page.parts[0] == "examples"], ids=str)
def test_the_commands_of_an_example_begin_in_its_folder_and_name_what_is_there(page: Path) -> None:
    first, *rest = re.findall(r"^ {4,}(\S.*?)(?: +#.*)?$", (ROOT / page).read_text(), re.MULTILINE)
    paths = [path for line in rest for path in re.findall(r" (?:-[fk]|kustomize) (\S+)", line)]

    assert first == f"cd {page.parent}"
    assert paths
    assert [path for path in paths if not (ROOT / page.parent / path).exists()] == []


def test_the_sandbox_names_the_folder_of_its_example() -> None:
    assert "cd examples/stuck-queue, then" in (ROOT / "sandbox" / "__main__.py").read_text()


def test_the_tests_that_run_them_exist() -> None:
    assert [test for test in RUN_BY.values() if not Path(ROOT / test).exists()] == []
