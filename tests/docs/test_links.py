"""What a text refers to is there: pages, their sections, and tests."""

import re
from pathlib import Path

import pytest

from sandbox.processes import ROOT
from tests.docs.texts import DECISIONS, PAGES, anchors, texts, without_blocks

_LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")


def links(page: Path) -> list[tuple[str, str]]:
    """Return the links of a page that lead to no other server: the path and the section of each."""
    text = re.sub(r"`[^`\n]*`", "", without_blocks((ROOT / page).read_text()))
    return _LINK.findall(text)


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_of_a_page_leads_to_a_file_and_a_section_that_exist(page: Path) -> None:
    broken = []
    for path, section in links(page):
        target = (ROOT / page.parent / path) if path else ROOT / page
        if not target.exists() or (section and section not in anchors(target.read_text())):
            broken.append(f"{path}#{section}" if section else path)

    assert broken == []


def test_every_page_that_any_text_of_the_repository_names_is_one_that_its_reader_has() -> None:
    pages = {page.name for page in PAGES} | {"report.md"}  # which a chaos campaign writes
    missing = {
        (str(place), name)
        for place, text in texts()
        for name in re.findall(r"[\w./-]*\w\.md\b", without_blocks(text, "console"))
        if place.parent != DECISIONS
        if (not (ROOT / name).exists() if name.startswith("docs/") else Path(name).name not in pages)
    }

    assert missing == set()


def test_every_section_of_the_readme_that_a_script_names_exists() -> None:
    headings = set(re.findall(r"^#+ (.*)$", (ROOT / "README.md").read_text(), re.MULTILINE))
    scripts = " ".join(text.replace('\\"', '"') for place, text in texts() if place.suffix == ".sh")
    named = set(re.findall(r'"([A-Z][^"]*)" in README\.md', " ".join(scripts.split())))

    assert named
    assert named <= headings


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        (str(page), name)
        for page in PAGES
        if page.parent != DECISIONS
        for name in re.findall(r"`(tests/[^`:*]+)[`:]", (ROOT / page).read_text())
    }

    assert named
    assert [(page, name) for page, name in named if not (ROOT / name).exists()] == []


def test_every_module_and_script_that_a_page_names_exists() -> None:
    source = ROOT / "operator" / "queue_recovery"
    missing = [
        (str(page), name)
        for page in PAGES
        if page.parent != DECISIONS and page.parts[0] != "examples"
        for name in re.findall(r"`((?:\w+/)+(?!__init__)\w+\.py|\w+\.lua)[:`]", (ROOT / page).read_text())
        if not any((place / name).exists() for place in (ROOT, source, source / "broker" / "scripts"))
    ]

    assert missing == []


def test_every_guarantee_that_any_text_of_the_repository_names_is_in_the_protocol() -> None:
    stated = set(re.findall(r"^\| (G\d+) \| \*\*", (ROOT / "docs" / "protocol.md").read_text(), re.MULTILINE))
    named = {name for _, text in texts() for name in re.findall(r"\bG\d{1,2}\b", text)}

    assert stated == {f"G{number}" for number in range(1, 15)}
    assert named <= stated


def test_every_page_is_in_the_index() -> None:
    linked = {path for path, _ in links(Path("docs") / "README.md")}
    pages = {page.name for page in PAGES if page.parent == Path("docs")} - {"README.md"}

    assert pages == {path for path in linked if "/" not in path}
