"""The tables agree with the libraries, as far as these are installed here, and each row can decide something.

The tables were compared with all of their libraries, in the versions that they name, when they were written. To do that
again, install a library, and run this file.
"""

import builtins
import importlib

import pytest

from queue_recovery.diagnosis.classes import levels
from queue_recovery.diagnosis.patterns import search
from queue_recovery.diagnosis.tables import TABLES
from queue_recovery.diagnosis.tables.table import Table

ROWS = [(table, row) for table in TABLES for row in table.rows]
CLASSES = [(table, table.path(name)) for table in TABLES for name in table.bases]
OTHER_NAMES = {"socket.timeout", "asyncio.exceptions.TimeoutError", "concurrent.futures._base.TimeoutError"}
"""Names of `TimeoutError` in older versions of Python."""

INSTALLED = {"python", "redis", "pymongo", "celery", "kombu", "requests", "urllib3"}
"""Those that are in this repository's own requirements."""


def class_of(path: str) -> type | None:
    """Return the class at a path, or None if its library is not installed."""
    module, _, name = path.rpartition(".")
    if not module:
        found: object = getattr(builtins, name)
    else:
        try:
            found = getattr(importlib.import_module(module), name)
        except ModuleNotFoundError:
            return None
    assert isinstance(found, type), path
    return found


def path_of(found: type) -> str:
    return found.__name__ if found.__module__ == "builtins" else f"{found.__module__}.{found.__name__}"


@pytest.mark.parametrize("table", TABLES, ids=[table.package for table in TABLES])
def test_each_class_is_derived_from_those_that_the_tables_say(table: Table) -> None:
    known = {one for _, one in CLASSES} | {base for one in TABLES for bases in one.bases.values() for base in bases}
    compared = 0
    for path in map(table.path, table.bases):
        found = class_of(path)
        if found is None or path in OTHER_NAMES:
            continue
        compared += 1
        by_tables = {one for level in levels(path) for one in level}
        assert issubclass(found, Exception)
        assert path_of(found) == path, "Celery stores the module in which a class is defined"
        assert by_tables == {path_of(one) for one in found.__mro__} & (known | {path}), path
    if not compared:
        assert table.package not in INSTALLED
        pytest.skip(f"{table.package} is not installed")


def test_every_class_of_a_library_that_has_a_row_has_its_bases() -> None:
    for table, row in ROWS:
        if table.module and "." not in row.exception:
            assert row.exception in table.bases, (table.package, row.exception)


def test_every_rule_has_a_name_of_its_own() -> None:
    names = [table.rule(row) for table, row in ROWS]

    assert sorted(set(names)) == sorted(names)


def test_each_row_has_a_reason_and_an_expression_that_compiles() -> None:
    for table, row in ROWS:
        assert row.why
        assert table.source.startswith("https://")
        assert bool(row.message) == bool(row.name)
        assert row.message == "" or isinstance(search(row.message, "any"), bool)


def test_a_row_for_any_message_comes_after_those_for_some() -> None:
    for table in TABLES:
        for name in {row.exception for row in table.rows}:
            own = [bool(row.message) for row in table.rows if row.exception == name]
            assert own == sorted(own, reverse=True), (table.package, name)
            assert own.count(False) <= 1
