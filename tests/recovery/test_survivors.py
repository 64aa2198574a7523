"""A consumer that outlives its pod delays the recovery; one that only has a pod's former address does not."""

from datetime import UTC, datetime, timedelta

import pytest

from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports import Consumer
from queue_recovery.recovery.vanished import refuse_survivors

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
SEEN = {"10.1.0.7": NOW - timedelta(seconds=30)}


def consumer(address: str, age: int) -> Consumer:
    return Consumer(id="4", address=address, age_seconds=age)


def test_a_connection_that_was_made_before_its_pod_was_last_seen_is_a_survivor() -> None:
    with pytest.raises(RecoveryError, match=r"UnknownConsumer: a worker at 10\.1\.0\.7 .* CLIENT KILL ID 4"):
        refuse_survivors([consumer("10.1.0.9", 600), consumer("10.1.0.7", 31)], SEEN, NOW)


@pytest.mark.parametrize(
    "other",
    [consumer("10.1.0.7", 30), consumer("10.1.0.7", 2), consumer("10.1.0.8", 600)],
    ids=["since the pod's end", "another pod with the address", "another pod"],
)
def test_a_younger_connection_or_one_from_elsewhere_proves_nothing(other: Consumer) -> None:
    refuse_survivors([other], SEEN, NOW)
