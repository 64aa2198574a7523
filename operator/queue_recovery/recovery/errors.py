"""Why a step cannot continue: one error, whose reason decides what happens next.

Each package converts its driver's exceptions to RecoveryError (`to_recovery_error`). The message states what is wrong,
then what to do. It contains no secret, no payload and no text of a driver's exception (but `ProposalRefused` quotes the
API server).
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.recovery.wording import named

_HOLDERS_NAMED = 5

DENIED: Final = frozenset({Reason.FORBIDDEN, Reason.WORKER_WRITE_REFUSED})
"""The reasons of a write that a missing permission, a policy or a webhook denies, for now or for good."""

Server = Literal["broker", "job store"]
"""A server of a target, as messages name it."""


class RecoveryError(Exception):
    """A step cannot continue, for a documented reason."""

    def __init__(self, reason: Reason, message: str, *, server: Server | None = None) -> None:
        """Store the reason, and the message: what is wrong, then what to do.

        `server` names the server whose URL is wrong, where the reason alone does not (`origins.py`).
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
    """The recovery waits for a change of an object in Kubernetes, and continues at its watch event."""


class AwaitingTurn(RecoveryError):
    """The recovery waits for others of this process, and continues when they release what it needs."""


def locked_by(
    holders: Mapping[str, str], kind: type[RecoveryError] = RecoveryError, remedies: Sequence[str] = ()
) -> RecoveryError:
    """Return the error for locks that other recoveries hold.

    Args:
        holders: the locked object, such as `queue "tts"`, and its holder, such as `recovery "media/first"`.
        kind: how the release is detected: by polling, or by a change in Kubernetes.
        remedies: commands that remove the locks of holders that may not exist any more.
    """
    held = [f"{what} is held by {holder}" for what, holder in sorted(holders.items())]
    by_hand = f". If that one no longer exists, run: {'; '.join(remedies[:_HOLDERS_NAMED])}" if remedies else ""
    which = named(held, most=_HOLDERS_NAMED)
    return kind(Reason.LOCKED, f"{which}; this recovery starts when that one has ended{by_hand}")
