"""`docs/troubleshooting.md`: one entry for each reason, grouped by what happens next."""

import re
from collections.abc import Iterator

from queue_recovery.api.reasons import Outcome, Reason

_HEADER = """<!-- Generated from the reasons by `python -m queue_recovery.api.reference`; do not edit. -->

# Troubleshooting

One entry for each reason, grouped by what happens next. `kubectl get qr` shows a recovery's reason in the column
`REASON`, `kubectl get qt` those of a target in `READY`, `BROKER` and `JOB STORE`. Conditions, events, log lines and
skipped jobs (`status.skipped`) have them too. Scripts may rely on these words. The message beside a reason names the
objects in question; it is written for people and may change.
"""


def troubleshooting() -> str:
    """Return the whole page."""
    groups = (f"- [{_title(outcome)}](#{_anchor(outcome)}): {outcome.meaning}" for outcome in Outcome)
    return "\n".join([_HEADER, *groups, "", *(line for outcome in Outcome for line in _group(outcome))])


def _group(outcome: Outcome) -> Iterator[str]:
    yield from (f"## {_title(outcome)}", "", outcome.meaning, "")
    for reason in Reason:
        if reason.outcome is outcome:
            yield from _entry(reason)


def _entry(reason: Reason) -> Iterator[str]:
    yield from (f"### {reason}", "", reason.meaning, "")
    yield from (f"What to do: {_with_links(reason.remedy)}" if reason.remedy else "There is nothing to do.", "")


def _with_links(text: str) -> str:
    """Return a text with links to the pages that it names, relative to their folder."""
    return re.sub(r"`docs/([\w.-]+\.md)`", r"[\1](\1)", text)


def _title(outcome: Outcome) -> str:
    return f"{outcome[0].upper()}{outcome[1:]}"


def _anchor(outcome: Outcome) -> str:
    """Return the anchor that GitHub gives to a group's heading."""
    return outcome.lower().replace(" ", "-")
