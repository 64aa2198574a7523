"""Selectors of a `scale` subresource are text; one that is not understood selects more, never less."""

import pytest

from queue_recovery.workers.label_selectors import parse_selector, selects

LABELS = {"app": "worker", "tier": "batch", "empty": ""}


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("app=worker", True),
        ("app==worker,tier=batch", True),
        ("app = worker, tier!=web", True),
        ("app=other", False),
        ("tier!=batch", False),
        ("missing!=x", True),
        ("empty=", True),
        ("missing=", False),
        ("tier in (web,batch)", True),
        ("tier in (web, db),app=worker", False),
        ("tier notin (web,db)", True),
        ("tier notin (batch)", False),
        ("missing notin (x)", True),
        ("app", True),
        ("!app", False),
        ("!missing,app", True),
        ("missing", False),
        ("example.com/name=x", False),
        ("version>3", True),
        ("nonsense (", True),
        ("nonsense (,app=other", False),
    ],
)
def test_a_selector_as_text_selects_as_kubernetes_says(text: str, *, selected: bool) -> None:
    assert selects(parse_selector(text), LABELS) is selected
