"""What a target knows of recoveries."""

import pytest

from queue_recovery.controller.recovery_outline import outline_of

BODY = {
    "metadata": {"name": "a", "labels": {"queuerecovery.dev/proposed-for": "RetryLoop"}},
    "spec": {"targetRef": {"name": "media"}, "queue": "tts", "suspend": True},
}


@pytest.mark.parametrize(
    ("change", "is_proposal"),
    [
        ({}, True),
        ({"spec": {"suspend": False}}, False),
        ({"spec": {"suspend": True, "cancel": True}}, False),
        ({"metadata": {"name": "a"}}, False),
        ({"status": {"drainStartTime": "2030-01-01T00:00:00Z"}}, False),
        ({"status": {"plan": {}}}, True),
        ({"status": {"completionTime": "2030-01-01T00:00:00Z"}}, True),
    ],
)
def test_a_proposal_is_one_until_somebody_starts_it(change: dict[str, dict[str, object]], *, is_proposal: bool) -> None:
    assert (outline_of(BODY | change).proposed_for == "RetryLoop") is is_proposal


def test_a_recovery_of_every_queue_recovers_each_and_one_of_another_version_none() -> None:
    every = outline_of(BODY | {"spec": {"targetRef": {"name": "media"}, "queue": "*"}})

    assert every.recovers("media", "tts")
    assert every.recovers("media", "mail")
    assert not every.recovers("other", "tts")
    assert not outline_of(BODY | {"spec": {}}).recovers("media", "tts")
