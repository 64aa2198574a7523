"""Why nothing of a quarantine goes back: only what applies to what was asked for is named."""

import pytest

from queue_recovery.api.restore_from import RestoreFrom
from queue_recovery.recovery.ports import Restorable
from queue_recovery.recovery.restore import why_nothing

FRESH = "as: Original"
AGAIN = "restoreFrom.taskIds"


@pytest.mark.parametrize(
    ("wanted", "count", "says", "says_not"),
    [
        ({}, Restorable(found=0, restore=0), "put back, or deleted by hand", [FRESH, AGAIN]),
        ({}, Restorable(found=0, restore=0, took_any=False), 'took no message of queue "tts"', ["put back", FRESH]),
        ({}, Restorable(found=3, restore=0, again=3), ": all are of jobs that it has enqueued again", [FRESH]),
        ({"as": "New"}, Restorable(found=1, restore=0, again=1), ": it is of a job that it has", [FRESH]),
        ({"as": "New"}, Restorable(found=2, restore=0, unfit=2), ": none can be made new", [AGAIN]),
        (
            {"as": "New"},
            Restorable(found=3, restore=0, again=2, unfit=1),
            ": 2 are of jobs that it has enqueued again, and 1 cannot be",
            [],
        ),
        ({"taskIds": ["x"]}, Restorable(found=3, restore=0), "none with one of the ids", ["enqueued again", FRESH]),
        (
            {"taskIds": ["x"], "as": "New"},
            Restorable(found=3, restore=0, unfit=1),
            "3 messages in its quarantine: 1 cannot be made new",
            ["enqueued again", AGAIN],
        ),
        ({}, Restorable(found=3, restore=0), "none readable", [FRESH, AGAIN]),
    ],
)
def test_the_reason_names_what_applies_to_the_mode_and_nothing_else(
    wanted: dict[str, object], count: Restorable, says: str, says_not: list[str]
) -> None:
    message = why_nothing(RestoreFrom.model_validate({"name": "earlier", **wanted}), count, "tts")

    assert says in message
    assert not [word for word in says_not if word in message]


def test_it_says_what_is_there_and_then_which_task_ids_put_messages_back() -> None:
    wanted = RestoreFrom.model_validate({"name": "earlier"})
    some = Restorable(found=7, restore=0, again=7, again_ids=["t1", "t2", "t3", "t4", "t5"])

    assert why_nothing(wanted, some, "tts") == (
        "has 7 messages in its quarantine: all are of jobs that it has enqueued again. To put messages back, name the "
        "messages that are to run a second time in restoreFrom.taskIds (t1, t2, t3, t4, t5 and 2 more)"
    )
