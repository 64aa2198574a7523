"""The classes of exceptions that are known, and from which others they are derived. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from queue_recovery.diagnosis.tables import TABLES
from queue_recovery.diagnosis.tables.table import Row, Table

_BASES: Final[dict[str, tuple[str, ...]]] = {
    table.path(name): tuple(map(table.path, bases)) for table in TABLES for name, bases in table.bases.items()
}

_ROWS: Final[dict[str, list[tuple[Table, Row]]]] = defaultdict(list)
_NAMED: Final[dict[str, list[str]]] = defaultdict(list)
"""Known classes by the last part of their path."""

for _table in TABLES:
    for _row in _table.rows:
        _ROWS[_table.path(_row.exception)].append((_table, _row))
for _path in dict.fromkeys([*_BASES, *_ROWS, *(base for bases in _BASES.values() for base in bases)]):
    _NAMED[_path.rpartition(".")[2]].append(_path)


def rows_of(path: str) -> Sequence[tuple[Table, Row]]:
    """Return the rows of one class, in the order in which they are tried."""
    return _ROWS.get(path, ())


def candidates(name: str, *, is_full_name: bool) -> Sequence[str]:
    """Return the known classes that a name may mean.

    Libraries export classes under shorter paths than the one where they are defined, such as
    `requests.ConnectionError`; then those of the same package count. A name without a module may be any of them.
    """
    package, _, rest = name.partition(".")
    last = name.rpartition(".")[2]
    known = _NAMED.get(last, ())
    if name in known and (rest or is_full_name):
        return [name]
    if is_full_name:
        return [path for path in known if rest and path.partition(".")[0] == package]
    return known


def is_known(path: str) -> bool:
    """Tell whether a class has this full path, or is exported under it."""
    return bool(candidates(path, is_full_name=True))


def levels(path: str) -> Iterator[Sequence[str]]:
    """Yield a class, then those from which it is derived directly, and so on."""
    level: Sequence[str] = [path]
    while level:
        yield level
        level = list(dict.fromkeys(base for one in level for base in _BASES.get(one, ())))
