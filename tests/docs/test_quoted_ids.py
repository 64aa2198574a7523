"""Ids are quoted wherever they are written: YAML takes some of them for numbers."""

import re

from sandbox.processes import ROOT

PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.yaml")]
ID = re.compile(r"\bid: *(\"?)([0-9a-f]{24})\b")


def test_every_id_that_a_reader_may_copy_is_in_quotes() -> None:
    found = {str(page.relative_to(ROOT)): ID.findall(page.read_text()) for page in PAGES}

    assert found["README.md"]
    assert not [(name, job_id) for name, ids in found.items() for quote, job_id in ids if not quote]
