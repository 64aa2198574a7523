"""Every reason is explained, and says what happens next."""

import re

import pytest

from queue_recovery.api.conditions import Condition, ConditionType
from queue_recovery.api.metrics import METRICS, Metric, MetricKind
from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.api.recovery_status import Phase
from queue_recovery.api.reference import reference
from queue_recovery.api.troubleshooting import troubleshooting


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_is_a_camel_case_word_and_its_member_is_called_the_same(reason: Reason) -> None:
    assert re.fullmatch(r"([A-Z][a-z]+)+(URL)?", reason)
    assert reason.name.replace("_", "").lower() == reason.lower()
    assert Condition.model_validate(
        {
            "type": "Ready",
            "status": "False",
            "reason": reason,
            "message": "",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    )


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_what_it_means_and_what_to_do_where_something_is_to_be_done(reason: Reason) -> None:
    assert reason.meaning.endswith(".")
    if reason.outcome in {Outcome.FAILED, Outcome.NOT_YET, Outcome.UNAVAILABLE, Outcome.HELD}:
        assert reason.remedy.endswith(".")


def test_no_two_reasons_are_the_same_word() -> None:
    assert len({reason.lower() for reason in Reason}) == len(Reason.__members__)


def test_the_reference_has_every_phase_condition_and_metric() -> None:
    page = reference()

    for word in (*Phase, *ConditionType, *(metric.name for metric in METRICS)):
        assert f"| `{word}` |" in page


@pytest.mark.parametrize("outcome", Outcome)
def test_the_page_of_reasons_has_an_entry_for_each_in_the_group_of_what_happens_next(outcome: Outcome) -> None:
    groups = re.findall(r"^## (.*)\n((?:.|\n)*?)(?=^## |\Z)", troubleshooting(), re.MULTILINE)
    (group,) = (text for title, text in groups if title.lower() == outcome.lower())
    entries = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", group, re.MULTILINE | re.DOTALL))

    reasons = [reason for reason in Reason if reason.outcome is outcome]
    assert list(entries) == reasons
    assert [r for r in reasons if r.meaning not in entries[r]] == []
    unlinked = {reason: re.sub(r"\[(.*\.md)\]\(\1\)", r"`docs/\1`", entry) for reason, entry in entries.items()}
    assert [
        r
        for r in reasons
        if (f"What to do: {r.remedy}\n" if r.remedy else "There is nothing to do.\n") not in unlinked[r]
    ] == []


def test_the_reference_has_every_field_by_its_whole_name() -> None:
    page = reference()

    for name in (
        "targetRef.name",
        "jobs[].id",
        "purge.retentionSeconds",
        "broker.transportOptions.sep",
        "queues[].name",
    ):
        assert f"| `{name}` |" in page
    assert '| `purge.mode` | one of `Quarantine`, `None` | `"Quarantine"` |' in page


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    cells = 0
    for line in reference().splitlines():
        if not line.startswith("|"):
            cells = 0
            continue
        found = len(re.findall(r"(?<!\\)\|", line))
        assert cells in {0, found}, line
        cells = found


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_named_as_prometheus_wants_it(metric: Metric) -> None:
    assert metric.name.startswith("queue_recovery_")
    assert metric.name.endswith("_total") is (metric.kind is MetricKind.COUNTER)
    assert metric.help.endswith(".")
