"""The purge takes the messages, and needs what the drain has frozen of the jobs."""

import pytest

from queue_recovery.recovery.drain import drain
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.intent import record_intent
from queue_recovery.recovery.plan import plan
from queue_recovery.recovery.purge import purge
from tests.recovery.fakes import Case


async def drained() -> Case:
    """Return a recovery of one message and two jobs whose workers have ended."""
    case = Case(jobs=["a", {"task": "tts.render"}])
    case.broker.add("old-a")
    for step in (plan, record_intent, drain):
        await step(case.recovery())
    return case


async def test_a_process_that_has_not_seen_the_drain_takes_the_messages() -> None:
    case = await drained()

    await purge(case.recovery())

    assert case.broker.queued() == []
    assert case.status.messages is not None
    assert case.status.messages.quarantined == 1


async def test_nothing_is_taken_or_written_again_when_the_broker_has_lost_its_data() -> None:
    case = await drained()
    case.broker.lose_data()
    case.broker.add("came later")
    freezes = case.broker.calls.count("freeze")

    with pytest.raises(RecoveryError, match="BrokerLostData"):
        await purge(case.recovery())

    assert case.broker.queued() == ["came later"]
    assert case.broker.calls.count("freeze") == freezes


async def test_the_broker_is_told_all_jobs_that_were_frozen() -> None:
    case = await drained()

    await purge(case.recovery())

    assert case.broker.frozen == ["0:str:a"]
