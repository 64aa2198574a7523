"""Words that do not say what an SRE would say aloud are in no page; a plain one takes the place of each."""

import re
from pathlib import Path

import pytest

from sandbox.processes import ROOT
from tests.docs.texts import DECISIONS, PAGES, without_blocks

INSTEAD = {
    "anew": "again",
    "mend": "fix",
    "for ever": "indefinitely",
    "lies in": "is in",
    "whoever": "the user, any client",
    "whatever": "any, no matter what",
    "close the books": "finish",
    "let go": "release",
    "lets it go": "releases it",
    "heed": "handle",
    "give way": "yield",
    "without a word": "without saying why",
    "one's own": "your own, its own",
    "by and by": "eventually",
    "as ever": "as before",
    "it cannot be told": "it is not possible to determine",
    "tails": "canvas",
    "sweeper": "retention",
    "kept safe": "quarantined",
}
"""What is written instead, by word."""


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent != DECISIONS], ids=str)
def test_a_page_is_in_plain_words(page: Path) -> None:
    prose = without_blocks((ROOT / page).read_text(), "console")
    if page.name == "CHANGELOG.md":
        prose = re.sub(r"`[^`]*`", "", prose)  # names that were changed

    assert [word for word in INSTEAD if re.search(rf"\b{word}\b", prose, re.IGNORECASE)] == []
