"""How a recovery continues after an error: one ordered chain of rules. Pure."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.recovery.decide import Action
from queue_recovery.recovery.errors import AwaitingChange, AwaitingTurn, RecoveryError


class Reaction(Enum):
    """How a recovery continues after an error of a step."""

    END_AS_FAILED = auto()
    AWAIT_TURN = auto()
    """Continue when other recoveries of this process release what it needs."""
    AWAIT_CHANGE = auto()
    """Continue at a watch event, without polling."""
    POLL_LOCK = auto()
    """Poll the lock at a constant interval, because the broker sends no event for it."""
    TRY_AGAIN = auto()
    """Connect and try again, with an increasing delay."""


Rule = Callable[[RecoveryError, Action], Reaction | None]


def ends(error: RecoveryError, action: Action) -> Reaction | None:
    """End as failed on a reason that does so; an ending itself is tried again until it succeeds."""
    return Reaction.END_AS_FAILED if error.outcome is Outcome.FAILED and action is not Action.END else None


def awaits_turn(error: RecoveryError, _: Action) -> Reaction | None:
    """Wait for the recoveries that are ahead."""
    return Reaction.AWAIT_TURN if isinstance(error, AwaitingTurn) else None


def awaits_change(error: RecoveryError, _: Action) -> Reaction | None:
    """Wait for an object in Kubernetes to change."""
    return Reaction.AWAIT_CHANGE if isinstance(error, AwaitingChange) else None


def polls_lock(error: RecoveryError, _: Action) -> Reaction | None:
    """Poll a lock in the broker that another recovery holds."""
    return Reaction.POLL_LOCK if error.reason is Reason.LOCKED else None


RULES: Final[Sequence[Rule]] = (ends, awaits_turn, awaits_change, polls_lock)
"""The first rule that applies decides; if none applies, the step is tried again."""


def reaction(error: RecoveryError, action: Action) -> Reaction:
    """Return how a recovery continues after an error of a step."""
    return next((found for rule in RULES if (found := rule(error, action)) is not None), Reaction.TRY_AGAIN)
