"""What a recovery says of itself at its end."""

import pytest

from queue_recovery.api.examples import MessageExample, Unreplaced
from queue_recovery.api.recovery_status import (
    Ending,
    JobTotals,
    Messages,
    Plan,
    Quarantine,
    QueueRecoveryStatus,
    Restored,
)
from queue_recovery.recovery.figures import final_ending, final_messages, unreplaced_note
from queue_recovery.recovery.ports import MessageName, Taken
from queue_recovery.recovery.ports import Unreplaced as PortUnreplaced

UNDO_ONE = "To put it back, create a QueueRecovery whose restoreFrom names this one"
UNDO = "To put them back, create a QueueRecovery whose restoreFrom names this one"


def status(phase: str, message: str, **fields: object) -> QueueRecoveryStatus:
    ending = Ending.model_validate({"phase": phase, "reason": "Because", "message": message})
    return QueueRecoveryStatus(ending=ending).model_copy(update=fields)


def said(
    before: QueueRecoveryStatus, *, in_doubt: int = 0, has_lost: bool = False, lost: int = 0, scales: bool = True
) -> str:
    return final_ending(before, in_doubt, has_lost=has_lost, lost=lost, scales_workers=scales).message


def test_one_that_is_cancelled_says_what_was_done_until_then() -> None:
    before = status(
        "Cancelled",
        "cancelled by spec.cancel",
        jobs=JobTotals.counted(12, enqueued=6, skipped=6),
        messages=Messages(found=1, quarantined=1),
    )

    done = "1 message quarantined, 6 of 12 jobs enqueued, workers scaled back"
    assert said(before) == f"cancelled by spec.cancel. Outcome: {done}"


def test_one_that_put_messages_back_says_how_many() -> None:
    restored = Restored(uid="u", found=3, restored=2, left=1)

    assert said(status("Failed", "no time.", restored=restored), scales=False) == (
        "no time. Outcome: 2 messages put back"
    )


def test_one_that_has_succeeded_or_done_nothing_says_no_more() -> None:
    assert said(status("Succeeded", "done", jobs=JobTotals.counted(1, enqueued=1))) == "done"
    assert said(status("Failed", "refused."), scales=False) == "refused."


def test_one_that_has_succeeded_says_how_many_messages_no_job_replaces_before_what_to_do() -> None:
    messages = Messages(found=3, quarantined=3, unreplaced=Unreplaced(count=1))
    before = status("Succeeded", "2 of 2 jobs enqueued. Nobody consumes", messages=messages)

    assert said(before.model_copy(update={"jobs": JobTotals.counted(2, enqueued=2)})) == (
        "2 of 2 jobs enqueued; 1 quarantined message not replaced by an enqueued job. Nobody consumes"
    )
    assert said(before) == "2 of 2 jobs enqueued. Nobody consumes"


def test_lost_records_are_said_with_the_jobs_in_doubt_only_where_there_are_any() -> None:
    before = status("Succeeded", "done", jobs=JobTotals.counted(3, enqueued=1))
    ending = final_ending(before, 0, has_lost=True, lost=0, scales_workers=True)

    assert (ending.phase, ending.reason) == ("Failed", "BrokerLostData")
    assert "may or may not" not in ending.message
    assert "2 jobs may or may not have been enqueued. Compare the task ids" in said(before, in_doubt=2, has_lost=True)


def test_lost_messages_are_said_with_what_was_done_and_how_to_put_the_rest_back() -> None:
    before = status(
        "Cancelled",
        "cancelled by spec.cancel",
        jobs=JobTotals.counted(1),
        messages=Messages(found=3, quarantined=2, left=1),
        quarantine=Quarantine(name="q", messages=2),
    )
    ending = final_ending(before, 0, has_lost=False, lost=12, scales_workers=True)

    assert (ending.phase, ending.reason) == ("Failed", "BrokerLostData")
    lost = (
        "the broker has lost 12 messages of the quarantine while this recovery was sorting them (an eviction, or a "
        "client that deleted or trimmed the list)"
    )
    done = "Outcome: 2 messages quarantined, 0 of 1 job enqueued, workers scaled back"
    assert ending.message == f"{lost}. {done}. To put the messages back, use restoreFrom"
    assert lost in said(before, lost=12, has_lost=True)
    assert said(status("Failed", "lost"), lost=1, scales=False) == (
        "the broker has lost 1 message of the quarantine while this recovery was sorting it (an eviction, or a client "
        "that deleted or trimmed the list)"
    )


@pytest.mark.parametrize(
    ("found", "quarantine", "note"),
    [
        (
            Unreplaced(count=1, examples=[MessageExample(task_id="t1", task="tts.render")]),
            True,
            f"1 of 12 quarantined messages was not replaced by an enqueued job (tts.render t1). {UNDO_ONE}",
        ),
        (
            Unreplaced(count=2, examples=[MessageExample(task_id="t1"), MessageExample(task="tts.render")]),
            False,
            (
                "2 of 12 quarantined messages were not replaced by an enqueued job (a task t1, tts.render without "
                "an id). They are removed for good, because purge.retentionSeconds is 0"
            ),
        ),
        (
            Unreplaced(count=7, is_exact=False, examples=[MessageExample(task_id="t1")]),
            True,
            f"at least 7 of 12 quarantined messages were not replaced by an enqueued job. {UNDO}",
        ),
    ],
)
def test_what_nothing_replaces_is_named_with_the_undo(found: Unreplaced, *, quarantine: bool, note: str) -> None:
    stored = Quarantine(name="q", messages=12) if quarantine else None
    messages = Messages(found=12, quarantined=12, unreplaced=found)

    assert unreplaced_note(QueueRecoveryStatus(messages=messages, quarantine=stored)) == note


def test_a_deleted_recovery_says_where_its_messages_are_and_how_restore_from_can_name_it() -> None:
    ending = Ending(phase="Cancelled", reason="Deleted", message="the recovery was deleted while it was running")
    before = QueueRecoveryStatus(
        ending=ending,
        messages=Messages(found=2, quarantined=2, unreplaced=Unreplaced(count=1)),
        quarantine=Quarantine(name="q", messages=2, expiration_time="2030-01-08T00:00:00Z"),
    )
    where = 'in the quarantine "q" until 2030-01-08T00:00:00Z'
    undo = (
        "create this recovery again with the same name and spec, which does not run again, and name it in restoreFrom"
    )

    assert said(before) == (
        "the recovery was deleted while it was running. Outcome: 2 messages quarantined, workers scaled back. "
        f"The messages are {where}. To put them back, {undo}"
    )
    assert unreplaced_note(before) == (
        "1 of 2 quarantined messages was not replaced by an enqueued job. "
        f"The message is {where}. To put it back, {undo}"
    )


def test_messages_of_several_queues_are_put_back_by_a_recovery_for_each() -> None:
    messages = Messages(found=2, quarantined=2, unreplaced=Unreplaced(count=2))
    plan = Plan(time="2030-01-01T00:00:00Z", ready=2, unacked=0, enqueue=0, skip=0, queues=["mail", "tts"])
    before = QueueRecoveryStatus(plan=plan, messages=messages, quarantine=Quarantine(name="q", messages=2))

    note = unreplaced_note(before)

    assert note is not None
    assert note.endswith("create a QueueRecovery for each queue whose restoreFrom names this one")


def test_the_count_before_the_quarantine_was_removed_is_final() -> None:
    taken = Taken(ready=2, unacked=0, left=0, undecodable=0, oversized=0, quarantine="q")
    first = PortUnreplaced(count=1, is_exact=True, first=(MessageName(task_id="t1", task="tts.render"),))
    gone = PortUnreplaced(count=0, is_exact=False, first=())

    before = final_messages(status("Succeeded", "done"), taken, first, None)

    assert before.messages is not None
    assert before.messages.unreplaced == Unreplaced(count=1, examples=[MessageExample(task_id="t1", task="tts.render")])
    assert final_messages(before, taken, gone, None) == before


def test_nothing_is_said_where_all_is_replaced() -> None:
    assert unreplaced_note(QueueRecoveryStatus(messages=Messages(found=1, quarantined=1))) is None
    assert unreplaced_note(QueueRecoveryStatus()) is None
