"""`docs/testing.md` quotes the README, and names tests that exist in the test bed that it says."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text()
README = " ".join((ROOT / "README.md").read_text().split())


def rows() -> list[list[str]]:
    """Return the cells of the table of claims."""
    lines = [line for line in PAGE.splitlines() if line.startswith('| "')]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def named_in(cell: str) -> list[str]:
    """Return the tests that a cell names."""
    return re.findall(r"`(tests/[^`]+)`", cell)


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0])
def test_a_claim_is_the_readmes_and_its_tests_exist(row: list[str]) -> None:
    claim, tests, node, everywhere = row
    assert claim.strip('"').replace('\\"', '"') in README
    assert named_in(tests)
    for name in [*named_in(tests), *named_in(node)]:
        path, _, test = name.partition("::")
        source = (ROOT / path).read_text()
        assert not test or re.search(rf"^(async )?def {test}\(", source, re.MULTILINE)
    assert all(name.startswith("tests/node/") for name in named_in(node))
    assert not any(name.startswith("tests/node/") for name in named_in(tests))
    assert everywhere in (("yes", "no") if named_in(node) else ("",))


@pytest.mark.parametrize("row", [row for row in rows() if named_in(row[2])], ids=lambda row: row[0])
def test_what_any_cluster_shows_needs_no_power_over_its_node(row: list[str]) -> None:
    _, _, node, everywhere = row
    needs_power = []
    for name in named_in(node):
        path, _, test = name.partition("::")
        source = (ROOT / path).read_text()
        marked = rf"@pytest\.mark\.own_node\n(async )?def {test}\(" if test else r"^pytestmark = pytest\.mark\.own_node"
        whole = r"^pytestmark = pytest\.mark\.own_node"
        needs_power.append(bool(re.search(marked, source, re.MULTILINE) or re.search(whole, source, re.MULTILINE)))

    assert everywhere == ("no" if any(needs_power) else "yes")


def test_every_folder_of_tests_is_part_of_make_test_or_of_another_target() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]["testpaths"]
    folders = {f"tests/{path.parent.name}" for path in (ROOT / "tests").glob("*/test_*.py")}

    assert sorted(listed) == sorted(folders - {"tests/node", "tests/gitops"})


def test_the_table_is_not_empty() -> None:
    assert len(rows()) > 10
