"""`docs/diagnosis-rules.md`, generated from the tables: `python -m queue_recovery.diagnosis.page docs/` writes it.

With `--check` it reports whether the page is current.
"""

import sys
from collections.abc import Iterator

from queue_recovery.api.generated import write_or_check
from queue_recovery.diagnosis.rules import AMBIGUOUS, ENVIRONMENT, NO_RULE
from queue_recovery.diagnosis.signatures import PERSISTS, SUCCEEDED
from queue_recovery.diagnosis.tables import TABLES
from queue_recovery.diagnosis.tables.table import Row, Table

_MODULE = "queue_recovery.diagnosis.page"

_HEADER = f"""<!-- Generated from the tables by `python -m {_MODULE}`; do not edit. -->

# Rules of the diagnosis

Each error in `status.plan.diagnosis` names the rule that decided. [diagnosis.md](diagnosis.md) says how they are
applied, and how a target adds its own.

## Rules that need no table
"""

_EVIDENCE = {
    "target/rules[N]": (
        "as the target says",
        "a rule of the target's `diagnosis.rules` matches; the first is number 0",
    ),
    ENVIRONMENT: (
        "Deterministic",
        "`os.environ[...]` has raised a `KeyError`, as the last frame of its traceback says",
    ),
    PERSISTS: (
        "Unknown instead of Transient, Deterministic instead of Unknown",
        "five attempts of a task (for Deterministic: of each job) fail identically for 24 hours, or 1 with successes",
    ),
    SUCCEEDED: ("Mixed instead of Deterministic", "a job that failed so has succeeded at a later attempt"),
    AMBIGUOUS: ("Unknown", "several classes have the name, or an exception several bases, and their rules differ"),
    NO_RULE: ("Unknown", "nothing is known of the error"),
}

_ADD = """## Add a library

A table is a module in `operator/queue_recovery/diagnosis/tables/`: copy one, and list it in `TABLES` there. Each row
needs a reason. `tests/diagnosis/test_tables.py` compares the classes with the library if that is installed, and
`make generate` writes this page.
"""


def page() -> str:
    """Return the whole page."""
    rules = (f"| `{rule}` | {verdict} | {decides} |\n" for rule, (verdict, decides) in _EVIDENCE.items())
    evidence = f"| rule | verdict | decides when |\n|---|---|---|\n{''.join(rules)}"
    return "\n".join([_HEADER, evidence, *(_section(table) for table in TABLES), _ADD])


def _section(table: Table) -> str:
    sources = "".join(f"- source: {source}\n" for source in table.source.split(", "))
    rows = "".join(f"{_row(table, row)}\n" for row in table.rows)
    head = "| class | message | verdict | why | rule |\n|---|---|---|---|---|\n"
    return f"## {table.package}\n\n- version: {table.version}\n{sources}\n{head}{rows}"


def _row(table: Table, row: Row) -> str:
    message = f"`{_escaped(row.message)}`" if row.message else "any"
    cells = [f"`{table.path(row.exception)}`", message, row.verdict, _escaped(row.why), f"`{table.rule(row)}`"]
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def files() -> Iterator[tuple[str, str]]:
    """Yield the names of the files, and their texts."""
    yield "diagnosis-rules.md", page()


if __name__ == "__main__":
    sys.exit(write_or_check(_MODULE, "Write the page of the diagnosis's rules.", dict(files())))
