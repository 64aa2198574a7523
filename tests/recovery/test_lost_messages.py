"""The broker loses messages while they are sorted: every ending comes to its end, and says so."""

import logging
from collections.abc import Callable

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.locks import check_queue_locks
from queue_recovery.recovery.ports import Restored
from tests.recovery.fake_database import Message, Record
from tests.recovery.fakes import UID, Case
from tests.recovery.test_restoring import NEXT_UID, after_another, restoring
from tests.recovery.test_takeover import effects, locked

LOST = RecoveryError(Reason.BROKER_LOST_DATA, "a list is not there any more")
SAID = "the broker has lost 2 messages of the quarantine while this recovery was sorting them"


def lose(record: Record) -> None:
    """Lose two of the messages that were taken while they were sorted; one that a worker held is left."""
    record.state, record.was_purged = "purged", True
    record.ready, record.unacked, record.lost = [], [Message("held")], 2


def fails_to_sort(case: Case) -> None:
    case.broker.on_call["take"] = lambda: lose(case.broker.records[UID])
    case.broker.fail("take", LOST)


def is_cancelled(case: Case) -> None:
    case.broker.on_call["take"] = lambda: case.resource.change(cancel=True)
    case.broker.on_call["close"] = lambda: lose(case.broker.records[UID])


def is_deleted(case: Case) -> None:
    case.broker.on_call["take"] = lambda: case.resource.change(deleting=True)
    case.broker.on_call["close"] = lambda: lose(case.broker.records[UID])


@pytest.mark.parametrize("end", [fails_to_sort, is_cancelled, is_deleted])
@pytest.mark.parametrize("retention_seconds", [0, 60])
async def test_every_ending_fails_and_counts_only_what_is_there(
    end: Callable[[Case], None], retention_seconds: int
) -> None:
    case = Case(jobs=["a"], purge={"retentionSeconds": retention_seconds})
    case.broker.add("old-a", "other")
    case.broker.add("held", held=True)
    end(case)

    status = await case.reaches("Failed", "BrokerLostData")

    assert status.message.startswith(SAID)
    assert "1 message quarantined" in status.message
    assert status.messages is not None
    assert (status.messages.found, status.messages.quarantined) == (1, 1)
    assert status.quarantine is not None
    assert (status.quarantine.messages, case.broker.records[UID].retain) == (1, True)
    assert (case.workers.replicas, case.broker.locks) == ({"worker": 2}, {})
    assert case.jobs.statuses == {"a": "failed"}


async def test_a_restore_counts_what_it_has_put_back_and_what_is_left() -> None:
    case = restoring(await after_another())

    def lose_the_rest() -> None:
        case.broker.records[NEXT_UID].restored = Restored(restored=0, left=1)
        case.broker.records[NEXT_UID].lost = 2

    case.broker.on_call["restore"] = lose_the_rest
    case.broker.fail("restore", LOST)

    status = await case.reaches("Failed", "BrokerLostData")

    assert status.message.startswith(SAID)
    assert status.restored is not None
    assert (status.restored.found, status.restored.restored, status.restored.left) == (1, 0, 1)
    assert case.broker.locks == {}


async def test_a_recovery_takes_over_from_one_whose_messages_are_lost_and_logs_how_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = locked()
    case.broker.records["gone"] = Record(state="purged", was_purged=True, lost=3)

    with caplog.at_level(logging.WARNING):
        await check_queue_locks(case.recovery(), ["tts"])

    assert effects(case) == ["close", "release"]
    assert case.broker.locks == {}
    assert 'lost 3 messages of the quarantine while recovery "media/removed" was sorting them' in caplog.text
