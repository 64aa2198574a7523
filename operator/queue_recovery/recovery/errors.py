"""Why a step cannot go on: one error, whose reason says what happens next.

A driver's exceptions leave its room as a RecoveryError (`to_recovery_error`). The message says what is wrong, then what
to do. It holds no secret, no payload and no text of a driver's exception.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.recovery.wording import named

_HOLDERS_NAMED = 5

Server = Literal["broker", "job store"]
"""A server of a target, as messages name it."""


class RecoveryError(Exception):
    """A step cannot go on, for a documented reason."""

    def __init__(self, reason: Reason, message: str, *, server: Server | None = None) -> None:
        """Take the reason, and the message that says what is wrong, then what to do.

        `server` is the one whose URL it is about, where the reason alone does not tell (`origins.py`).
        """
        super().__init__(f"{reason}: {message}")
        self.server = server
        self.reason = reason
        self.message = message

    @property
    def outcome(self) -> Outcome:
        """What happens next."""
        return self.reason.outcome


class AwaitingChange(RecoveryError):
    """An object in Kubernetes has to change first: its change wakes the recovery, and nothing is polled meanwhile."""


class AwaitingTurn(RecoveryError):
    """Other recoveries of this process go first: they wake this one, and nothing is polled meanwhile."""


def locked_by(
    holders: Mapping[str, str], kind: type[RecoveryError] = RecoveryError, remedies: Sequence[str] = ()
) -> RecoveryError:
    """Return the error of locks that other recoveries hold.

    Args:
        holders: what they lock, such as `queue "tts"`, with who holds it, such as `recovery "media/first"`.
        kind: how the end of the locks is noticed: by looking again, or by a change in Kubernetes.
        remedies: commands that remove the locks of those of which it is not possible to determine whether they exist.
    """
    held = [f"{what} is held by {holder}" for what, holder in sorted(holders.items())]
    by_hand = (
        f". If that one no longer exists, run: {'; '.join(remedies[:_HOLDERS_NAMED])}" if remedies else ""
    )
    which = named(held, most=_HOLDERS_NAMED)
    return kind(Reason.LOCKED, f"{which}; this recovery starts when that one has ended{by_hand}")
