"""A page that says which test shows something names one that exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["SECURITY.md", "docs/image.md", "docs/operating.md", "docs/testing.md"])
def test_every_test_that_a_page_names_exists(page: str) -> None:
    named = re.findall(r"`(tests/[^`:*]+)[`:]", (ROOT / page).read_text())

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_threat_model_names_a_test_for_each_of_its_rows() -> None:
    rows = [line for line in (ROOT / "SECURITY.md").read_text().splitlines() if line.startswith("| ")]

    assert [row for row in rows if "`tests/" not in row and not row.startswith(("| who |", "| threat |"))] == []
