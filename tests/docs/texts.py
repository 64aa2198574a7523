"""The repository's texts, and what is named in them."""

import re
from collections.abc import Iterator
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


def texts() -> Iterator[tuple[Path, str]]:
    """Yield every text of the repository, by its path in it."""
    for path in sorted(ROOT.rglob("*")):
        place = path.relative_to(ROOT)
        is_hidden = place.parts[0].startswith(".") and place.parts[0] != ".github"
        if not is_hidden and path.is_file() and (path.suffix in _KINDS or path.name in _NAMES):
            yield place, path.read_text()


def without_blocks(text: str, language: str = "") -> str:
    """Return a page without its fenced blocks: all of them, or those of one language."""
    return re.sub(rf"^```{language}[^\n]*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(page: str) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_blocks(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
