"""What a target knows of recoveries."""

import pytest

from queue_recovery.controller.recovery_outline import outline_of, reported_proposals

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


STUCK = {"name": "tts", "stuck": [{"reason": "RetryLoop"}, {"reason": "DeafWorkers", "proposal": "a"}]}


@pytest.mark.parametrize(
    ("status", "reported"),
    [
        ({"conditions": [{"type": "Stuck", "status": "True"}], "queues": [STUCK, {"name": "mail"}]}, {"a"}),
        ({"conditions": [{"type": "Stuck", "status": "False"}], "queues": [{"name": "tts"}]}, set()),
        ({"conditions": [{"type": "Stuck", "status": "False"}]}, set()),
        ({"conditions": [{"type": "Stuck", "status": "Unknown"}], "queues": [STUCK]}, None),
        ({"conditions": [{"type": "Ready", "status": "True"}], "queues": [STUCK]}, None),
        ({}, None),
    ],
)
def test_a_target_names_its_proposals_or_does_not_tell(status: dict[str, object], reported: set[str] | None) -> None:
    assert reported_proposals({"metadata": {"name": "media"}, "status": status}) == reported
    assert reported_proposals({"metadata": {"name": "media"}}) is None
