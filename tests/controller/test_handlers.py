"""What is kept in memory of recoveries that are over."""

from typing import Any

import kopf

from queue_recovery.controller.handlers import _due, _lighten


def body(**status: object) -> kopf.Body:
    """Return a recovery's body as kopf holds it."""
    raw: Any = {
        "metadata": {"name": "a", "uid": "u", "generation": 3, "finalizers": [], "managedFields": [{}]},
        "spec": {"queue": "tts", "jobs": [{"id": "x"}]},
        "status": {"observedGeneration": 3, "message": "done", "conditions": [{}], **status},
    }
    return kopf.Body(raw)


def test_of_a_recovery_that_is_over_only_what_says_so_stays() -> None:
    over = body(completionTime="2026-05-01T03:00:00Z")
    assert not _due(over)

    _lighten(over)

    assert dict(over) == {
        "metadata": {"name": "a", "uid": "u", "generation": 3, "finalizers": []},
        "spec": {},
        "status": {"observedGeneration": 3, "completionTime": "2026-05-01T03:00:00Z"},
    }
    assert not _due(over)


def test_a_recovery_that_runs_or_whose_wish_has_changed_since_it_ended_is_due() -> None:
    assert _due(body())
    assert _due(body(observedGeneration=2, completionTime="2026-05-01T03:00:00Z"))
