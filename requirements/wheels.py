"""Checks that all that the image is built from has wheels for every platform of the image.

    python -m requirements.wheels requirements/operator.txt requirements/build.txt

pip itself answers, with the options of the Dockerfile and the tags of the platform: wheels only, each by its hash.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCKERFILE: Final = Path(__file__).resolve().parent.parent / "Dockerfile"
_PLATFORMS: Final = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}
_GLIBC: Final = {"bookworm": 36, "trixie": 41}
"""Minor versions of glibc 2, by the Debian release of the base image."""
_OLDEST_GLIBC: Final = 5
"""The first that PEP 600 gives a tag to."""


def base_image(dockerfile: str) -> tuple[str, int]:
    """Return the base image's version of Python, and the minor version of its glibc.

    Raises:
        LookupError: the Dockerfile names no base image of which both are known.
    """
    found = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+)-slim-(\w+)$", dockerfile, re.MULTILINE)
    if found is None or found[2] not in _GLIBC:
        raise LookupError(
            "the Dockerfile's PYTHON_IMAGE is not python:X.Y-slim-RELEASE with a known RELEASE; add it here"
        )
    return found[1], _GLIBC[found[2]]


def refusal(requirements: Path, machine: str, *, python: str, glibc: int) -> str | None:
    """Return what pip says when it cannot take every pin of a file as a wheel for a machine; None when it can."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
                *("--no-deps", "--require-hashes", "--only-binary=:all:", f"--dest={folder}"),
                *("--implementation=cp", f"--python-version={python}"),
                *(f"--abi={abi}" for abi in (f"cp{python.replace('.', '')}", "abi3", "none")),
                *(f"--platform={tag}" for tag in _tags(machine, glibc)),
                f"--requirement={requirements}",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    return done.stderr.strip() if done.returncode else None


def _tags(machine: str, glibc: int) -> Iterator[str]:
    yield f"manylinux2014_{machine}"  # and by it, pip knows the older ones
    for minor in range(_OLDEST_GLIBC, glibc + 1):
        yield f"manylinux_2_{minor}_{machine}"


def main(arguments: list[str]) -> int:
    """Check files of pins; print what is missing and return 1, or 0 when nothing is."""
    parser = argparse.ArgumentParser(prog="python -m requirements.wheels", description=__doc__)
    parser.add_argument("requirements", nargs="+", type=Path)
    python, glibc = base_image(_DOCKERFILE.read_text())
    asked = [(file, platform) for file in parser.parse_args(arguments).requirements for platform in _PLATFORMS]
    with ThreadPoolExecutor(max_workers=2) as pool:
        said = pool.map(lambda one: refusal(one[0], _PLATFORMS[one[1]], python=python, glibc=glibc), asked)
        refused = [(*one, text) for one, text in zip(asked, said, strict=True) if text is not None]
    for file, platform, text in refused:
        sys.stderr.write(
            f"{file}: pip cannot get a wheel for {platform} (Python {python}, glibc 2.{glibc}) for every pin. Pin a "
            "version that has one; or, if the package index cannot be reached, run this again when it can. pip says:\n"
            f"{text}\n"
        )
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
