"""The form of a table: what is known of the exceptions of one library. Pure.

To add a library, write a table like those beside this file, and list it in `TABLES`. A row says of one class, and of
all that are derived from it and have no row of their own, whether a retry helps. Leave out what is not certain: no row
means Unknown. `bases` has the classes from which others are derived; `tests.diagnosis.test_tables` compares it with
the library where that is installed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from queue_recovery.api.diagnosis import RuleVerdict

TRANSIENT: Final = "Transient"
DETERMINISTIC: Final = "Deterministic"
UNKNOWN: Final = "Unknown"


@dataclass(frozen=True)
class Row:
    """What is known of one class of exceptions."""

    exception: str
    """Its name within the table's module, or its full path."""
    verdict: RuleVerdict
    why: str
    """As a documentation says it, or the reason for the choice."""
    message: str = ""
    """A regular expression that a part of the message has to match; empty: any message."""
    name: str = ""
    """Tells rows of one class apart, in the rule's name."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """What is known of the exceptions of one library."""

    package: str
    """As rules are named after it."""
    module: str
    """Where its classes are, so that their names are short here; empty: Python's own."""
    version: str
    source: str
    """Where it is documented, and where the classes are defined."""
    bases: Mapping[str, tuple[str, ...]] = field(hash=False)
    """The classes of the library that matter, each with those from which it is derived; not `Exception` and above. A
    name without a dot that is no key here is Python's own."""
    rows: tuple[Row, ...]
    """Of one class, the first row counts whose message matches."""
    generated: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Modules whose classes are made at run time, and the one class from which all of them are derived."""

    def path(self, name: str) -> str:
        """Return the full path of a class; one with a dot is a path already."""
        return f"{self.module}.{name}" if self.module and "." not in name and name in self.bases else name

    def rule(self, row: Row) -> str:
        """Return the name of a row's rule."""
        last = row.exception.rpartition(".")[2]
        return f"{self.package}/{last}" + (f":{row.name}" if row.name else "")
