"""The control plane's programs are found, or built once."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from sandbox.build import Programs, find_programs
from sandbox.processes import ROOT, python_module

pytestmark = pytest.mark.thorough  # every test that starts a sandbox shows that it works

_FAKE_GO = """#!/bin/sh
case "$1" in
    version) echo "go version go1.26.0 linux/amd64" ;;
    list) echo main ;;
    build)
        echo built >> "$BUILDS"
        echo main >&2
        while [ "$1" != -o ]; do shift; done
        echo program > "$2" ;;
esac
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A sandbox in which a build takes no time: `go` is a fake."""
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(_FAKE_GO)
    go.chmod(0o755)
    return {
        "PATH": f"{go.parent}{os.pathsep}{os.defpath}",
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "BUILDS": str(tmp_path / "builds"),
    }


async def _build(environment: dict[str, str]) -> list[str]:
    programs, _ = await _build_with_progress(environment)
    return programs


async def _build_with_progress(environment: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the programs, and the lines about the build."""
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *python_module("sandbox.build"), env=environment, cwd=ROOT, stdout=pipe, stderr=pipe
    )
    output, progress = await child.communicate()
    assert child.returncode == 0, progress.decode()
    return output.decode().split(), progress.decode().splitlines()


def _content(path: str) -> str:
    return Path(path).read_text()


async def test_two_builds_at_once_build_once_and_both_find_the_result(environment: dict[str, str]) -> None:
    first, second = await asyncio.gather(_build(environment), _build(environment))

    assert first == second == await _build(environment)
    assert [_content(program) for program in first] == ["program\n"] * 4
    assert _content(environment["BUILDS"]) == "built\n"


async def test_a_build_reports_its_progress(environment: dict[str, str]) -> None:
    _, progress = await _build_with_progress(environment)

    assert [line.removeprefix("sandbox: ").partition(" ")[0] for line in progress] == [
        *("the", "downloading", "compiling", "linking", "built")
    ]
    assert "about six minutes" in progress[0]


def test_the_remains_of_a_killed_build_are_removed_by_the_next(environment: dict[str, str]) -> None:
    leftover = Path(environment["XDG_CACHE_HOME"], "queue-recovery", "unfinished-x")
    leftover.mkdir(parents=True)

    asyncio.run(_build(environment))

    assert not leftover.exists()


def test_programs_in_kubebuilder_assets_are_preferred_and_missing_ones_are_built(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("etcd", "kube-apiserver", "kubectl"):
        (tmp_path / name).touch()
    for name, value in {**environment, "KUBEBUILDER_ASSETS": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)

    programs = find_programs()

    own = tmp_path / "cache"
    assert programs.kube_controller_manager.is_relative_to(own)
    expected = Programs(
        etcd=tmp_path / "etcd",
        kube_apiserver=tmp_path / "kube-apiserver",
        kube_controller_manager=programs.kube_controller_manager,
        kubectl=tmp_path / "kubectl",
    )
    assert programs == expected
