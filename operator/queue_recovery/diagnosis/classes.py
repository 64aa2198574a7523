"""The classes of exceptions that are known, and from which others they are derived. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from queue_recovery.diagnosis.tables import TABLES
from queue_recovery.diagnosis.tables.table import Row, Table

_BASES: Final[Mapping[str, Sequence[str]]] = {
    table.path(name): [table.path(base) for base in bases] for table in TABLES for name, bases in table.bases.items()
}

_GENERATED: Final[Mapping[str, str]] = {module: base for table in TABLES for module, base in table.generated.items()}


def _rows() -> Mapping[str, Sequence[tuple[Table, Row]]]:
    rows = defaultdict(list)
    for table in TABLES:
        for row in table.rows:
            rows[table.path(row.exception)].append((table, row))
    return dict(rows)


def _by_last_name() -> Mapping[str, Sequence[str]]:
    named = defaultdict(list)
    for path in dict.fromkeys([*_BASES, *_ROWS, *chain.from_iterable(_BASES.values())]):
        named[path.rpartition(".")[2]].append(path)
    # Python's own come first: a name without a module most likely means them.
    return {name: sorted(paths, key=lambda path: "." in path) for name, paths in named.items()}


_ROWS: Final = _rows()
_NAMED: Final = _by_last_name()


def rows_of(path: str) -> Sequence[tuple[Table, Row]]:
    """Return the rows of one class, in the order in which they are tried."""
    return _ROWS.get(path, ())


def candidates(name: str, *, is_full_name: bool) -> Sequence[str]:
    """Return the known classes that a name may mean.

    Libraries export classes under shorter paths than the one where they are defined, such as
    `requests.ConnectionError`; then those of the same package count. A name without a module may be any of them.
    """
    module, _, last = name.rpartition(".")
    known = _NAMED.get(last, ())
    if not module:
        return [path for path in known if "." not in path] if is_full_name else known
    if module in _GENERATED:
        return [_GENERATED[module]]
    package = name.partition(".")[0]
    return [name] if name in known else [path for path in known if path.partition(".")[0] == package and "." in path]


def levels(path: str) -> Iterator[Sequence[str]]:
    """Yield a class, then those from which it is derived directly, and so on."""
    level: Sequence[str] = [path]
    while level:
        yield level
        level = list(dict.fromkeys(base for one in level for base in _BASES.get(one, ())))
