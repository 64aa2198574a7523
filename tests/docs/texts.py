"""The repository's texts, and what is named in them."""

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from sandbox.processes import ROOT

_KINDS = {".md", ".py", ".lua", ".yaml", ".toml", ".sh", ".in", ".go"}
_NAMES = {"Makefile", "Dockerfile"}

PAGES = sorted(
    page.relative_to(ROOT) for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md"))
)
"""Every document that a person reads, by its path in the repository."""

DECISIONS = Path("docs") / "decisions"
"""Pages that are history: what they name may be gone."""


@cache
def texts() -> Sequence[tuple[Path, str]]:
    """Return every text of the repository, with its path in it."""
    found: list[tuple[Path, str]] = []
    for folder, folders, files in os.walk(ROOT):
        # Pruned, because a virtual environment has more files than the repository.
        folders[:] = [name for name in folders if not name.startswith(".") or name == ".github"]
        paths = [Path(folder) / name for name in files]
        found += [
            (path.relative_to(ROOT), path.read_text()) for path in paths if path.suffix in _KINDS or path.name in _NAMES
        ]
    return sorted(found)


def without_blocks(text: str, language: str = "") -> str:
    """Return a page without its fenced blocks: all of them, or those of one language."""
    return re.sub(rf"^```{language}[^\n]*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
