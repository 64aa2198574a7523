"""The turn of a recovery beside which there is no other one."""

from queue_recovery.recovery.admission import Admission
from queue_recovery.recovery.turn import Turn


def alone() -> Turn:
    """Return a turn that others never come before."""
    return Turn(Admission(1), "media")
