"""What is known of the exceptions of libraries: one table for each. Pure."""

from collections.abc import Sequence
from typing import Final

from queue_recovery.diagnosis.tables import python
from queue_recovery.diagnosis.tables.table import Table

TABLES: Final[Sequence[Table]] = (python.TABLE,)
"""Rules are tried by the class of an exception, so the order of the tables does not matter."""
