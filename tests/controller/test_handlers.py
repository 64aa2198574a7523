"""What is kept in memory of recoveries that are finished."""

from typing import Any

import kopf

from queue_recovery.controller.handlers import _lighten
from queue_recovery.controller.resource import is_finished


def test_of_a_recovery_that_is_finished_only_what_says_so_stays() -> None:
    raw: Any = {
        "metadata": {"name": "a", "uid": "u", "generation": 3, "finalizers": [], "managedFields": [{}]},
        "spec": {"queue": "tts", "jobs": [{"id": "x"}]},
        "status": {
            "observedGeneration": 3,
            "completionTime": "2026-05-01T03:00:00Z",
            "message": "done",
            "conditions": [{}],
        },
    }
    finished = kopf.Body(raw)
    assert is_finished(finished)

    _lighten(finished)

    assert dict(finished) == {
        "metadata": {"name": "a", "uid": "u", "generation": 3, "finalizers": []},
        "spec": {},
        "status": {"observedGeneration": 3, "completionTime": "2026-05-01T03:00:00Z"},
    }
    assert is_finished(finished)


def test_of_one_that_is_not_finished_only_managed_fields_go() -> None:
    raw: Any = {
        "metadata": {"name": "a", "uid": "u", "generation": 3, "managedFields": [{}]},
        "spec": {"queue": "tts"},
        "status": {"observedGeneration": 3, "message": "waiting"},
    }
    waiting = kopf.Body(raw)

    _lighten(waiting)

    assert dict(waiting) == {
        "metadata": {"name": "a", "uid": "u", "generation": 3},
        "spec": {"queue": "tts"},
        "status": {"observedGeneration": 3, "message": "waiting"},
    }
