"""The page on the architecture points to lines that are where it says."""

import ast
import re

import pytest

from sandbox.processes import ROOT

SOURCE = ROOT / "operator" / "queue_recovery"
ROWS = re.findall(
    r"^\| ([^|]+) \| `([\w/.]+)` \| `(\w+)` \|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE
)


def names_in(python: str) -> set[str]:
    """Return what a module defines at its top level, and the functions and methods that it calls."""
    tree = ast.parse(python)
    defined = {
        node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    return defined | assigned | called


def test_the_page_answers_at_least_ten_questions() -> None:
    assert len(ROWS) >= 10


@pytest.mark.parametrize(("what", "file", "symbol"), ROWS, ids=[row[0] for row in ROWS])
def test_the_symbol_that_does_something_is_in_the_file_that_the_page_names(what: str, file: str, symbol: str) -> None:
    text = (SOURCE / file).read_text()
    found = names_in(text) if file.endswith(".py") else set(re.findall(r"\w+", text))

    assert symbol in found, f"{what}: {file} has no {symbol}"
