"""The workflows of public CI: valid, with minimal permissions, and consistent with the Makefile."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.go_build import KUBERNETES_VERSION, cache_folder
from sandbox.processes import ROOT
from sandbox.toolchain import find_go

ACTIONLINT = "github.com/rhysd/actionlint/cmd/actionlint@v1.7.12"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))


def actionlint(workflow: Path) -> list[str]:
    """Return actionlint's findings in a workflow, without linters that a machine may not have."""
    done = subprocess.run(
        [find_go(cache_folder()), "run", ACTIONLINT, "-no-color", "-oneline", "-shellcheck=", "-pyflakes=", workflow],
        capture_output=True,
        text=True,
        env={**os.environ, "GOTOOLCHAIN": "local"},
        cwd=workflow.parent,
        check=False,
    )
    assert done.returncode == 0 or done.stdout, f"go cannot run actionlint: {done.stderr}"
    return done.stdout.splitlines()


def steps(workflow: Path) -> list[dict[str, Any]]:
    """Return the steps of all of a workflow's jobs."""
    jobs: dict[str, Any] = yaml.safe_load(workflow.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.timeout(900)  # the first run downloads and compiles it
@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actionlint_finds_no_errors(workflow: Path) -> None:
    assert actionlint(workflow) == []


def test_the_command_in_contributing_has_the_same_version() -> None:
    assert f"`go run {ACTIONLINT}`" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.timeout(900)
def test_actionlint_finds_an_error(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("${{ github.ref }}", "${{ github.reff }}"))

    [found] = actionlint(wrong)

    assert 'property "reff" is not defined' in found


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_persist_no_credentials(workflow: Path) -> None:
    body = yaml.safe_load(workflow.read_text())

    assert body["permissions"] == {"contents": "read"}
    assert [name for name, job in body["jobs"].items() if "permissions" in job] == []
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout@")]
    assert len(checkouts) == len(body["jobs"])
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "secrets." not in workflow.read_text()


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_by_a_commit_and_its_version_is_in_a_comment(workflow: Path) -> None:
    used = re.findall(r"uses: (.*)", workflow.read_text())

    assert used
    assert [one for one in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", one)] == []


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_every_make_target_of_the_workflows_exists(workflow: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    run = [step["run"] for step in steps(workflow) if "run" in step]

    made = {target for script in run for target in re.findall(r"\bmake ([a-z-]+)", script)}

    assert made >= {"test", "gitops-test", "node-packages", "node-test", "cluster-test"}
    assert made <= targets


def test_the_kubernetes_of_the_tests_has_the_minor_version_of_the_sandbox() -> None:
    [node] = re.findall(r"kindest/node:v(\d+\.\d+)\.\d+@sha256:[0-9a-f]{64}$", WORKFLOWS[0].read_text(), re.MULTILINE)

    assert KUBERNETES_VERSION.startswith(f"{node}.")
