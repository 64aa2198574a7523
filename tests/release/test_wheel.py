"""What goes into the image besides the pins: the operator's wheel."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.processes import ROOT


def digest(folder: Path, *, time: int, umask: int) -> str:
    """Build the wheel from a copy of the sources, as the Dockerfile does; return its SHA-256."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        if (ROOT / name).exists():
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "operator", folder / "operator", ignore=shutil.ignore_patterns("__pycache__"))
    for path in folder.rglob("*"):
        os.utime(path, (time, time))
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--wheel-dir=dist", "."],
        cwd=folder,
        umask=umask,
        check=True,
    )
    (wheel,) = (folder / "dist").iterdir()
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


@pytest.mark.thorough
def test_it_is_the_same_wherever_and_whenever_it_is_built(tmp_path: Path) -> None:
    first = digest(tmp_path / "here", time=1_600_000_000, umask=0o022)
    second = digest(tmp_path / "some" / "where" / "else", time=1_700_000_000, umask=0o077)

    assert first == second
