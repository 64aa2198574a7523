"""What a recovery does about an error follows from its reason's outcome, and from how its end is noticed."""

import pytest

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.recovery.decide import Action
from queue_recovery.recovery.errors import AwaitingChange, AwaitingTurn, RecoveryError
from queue_recovery.recovery.reaction import Reaction, reaction


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RecoveryError(Reason.JOB_NOT_FOUND, "no job"), Reaction.END_AS_FAILED),
        (AwaitingTurn(Reason.QUEUED, "others first"), Reaction.AWAIT_TURN),
        (AwaitingTurn(Reason.LOCKED, "in line"), Reaction.AWAIT_TURN),
        (AwaitingChange(Reason.SECRET_NOT_FOUND, "no Secret"), Reaction.AWAIT_CHANGE),
        (AwaitingChange(Reason.LOCKED, "held"), Reaction.AWAIT_CHANGE),
        (RecoveryError(Reason.LOCKED, "held"), Reaction.POLL_LOCK),
        (RecoveryError(Reason.UNKNOWN_CONSUMER, "another one"), Reaction.TRY_AGAIN),
        (RecoveryError(Reason.BROKER_UNAVAILABLE, "away"), Reaction.TRY_AGAIN),
    ],
)
def test_an_error_leads_to_what_its_reason_says(error: RecoveryError, expected: Reaction) -> None:
    assert reaction(error, Action.DRAIN) is expected


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.outcome is Outcome.FAILED])
def test_what_would_fail_a_recovery_is_tried_again_while_it_ends(reason: Reason) -> None:
    error = RecoveryError(reason, "refused")

    assert reaction(error, Action.PURGE) is Reaction.END_AS_FAILED
    assert reaction(error, Action.END) is Reaction.TRY_AGAIN
