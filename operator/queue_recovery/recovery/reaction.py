"""What a recovery does about an error: one ordered chain over the error's outcome. Pure."""

from collections.abc import Callable, Sequence
from enum import Enum, auto
from typing import Final

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.recovery.decide import Action
from queue_recovery.recovery.errors import AwaitingChange, AwaitingTurn, RecoveryError


class Reaction(Enum):
    """How a recovery goes on after a step could not."""

    END_AS_FAILED = auto()
    AWAIT_TURN = auto()
    """Other recoveries of this process wake it."""
    AWAIT_CHANGE = auto()
    """A watch wakes it; nothing is polled meanwhile."""
    POLL_LOCK = auto()
    """The broker tells of no change of a lock, so it is asked again soon, at the same pace."""
    TRY_AGAIN = auto()
    """It connects again and tries again, less and less often."""


Rule = Callable[[RecoveryError, Action], Reaction | None]


def ends(error: RecoveryError, action: Action) -> Reaction | None:
    """End on a reason that ends; an ending itself is tried again until it has succeeded."""
    return Reaction.END_AS_FAILED if error.outcome is Outcome.FAILED and action is not Action.END else None


def awaits_turn(error: RecoveryError, _: Action) -> Reaction | None:
    """Wait for the recoveries that go first."""
    return Reaction.AWAIT_TURN if isinstance(error, AwaitingTurn) else None


def awaits_change(error: RecoveryError, _: Action) -> Reaction | None:
    """Wait for an object in Kubernetes to change."""
    return Reaction.AWAIT_CHANGE if isinstance(error, AwaitingChange) else None


def polls_lock(error: RecoveryError, _: Action) -> Reaction | None:
    """Poll a lock in the broker that another recovery holds."""
    return Reaction.POLL_LOCK if error.reason is Reason.LOCKED else None


RULES: Final[Sequence[Rule]] = (ends, awaits_turn, awaits_change, polls_lock)
"""The first rule that applies decides; where none does, the step is tried again."""


def reaction(error: RecoveryError, action: Action) -> Reaction:
    """Return what a recovery does about an error of a step."""
    return next((found for rule in RULES if (found := rule(error, action)) is not None), Reaction.TRY_AGAIN)
