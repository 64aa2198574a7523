"""What a target has to know of recoveries: which are not finished, and which proposals nobody has started.

And what these have to know of it: whether it still names them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from queue_recovery.api.base import EVERY_QUEUE
from queue_recovery.api.conditions import ConditionType
from queue_recovery.api.stuck import PROPOSED_FOR


class RecoveryOutline(NamedTuple):
    """A recovery, as last received."""

    name: str
    target: str
    queue: str
    proposed_for: str
    """The cause for which it was proposed, if nobody has started it; one that can make no plan ends nevertheless."""

    def recovers(self, target: str, queue: str) -> bool:
        """Tell whether it is for a queue of a target."""
        return self.target == target and self.queue in {queue, EVERY_QUEUE}


def reported_proposals(target: Mapping[str, Any]) -> frozenset[str] | None:
    """Return the proposals that a target's status names for what its queues are stuck for; None: it does not tell."""
    status = target.get("status", {})
    stuck = [one.get("status") for one in status.get("conditions", ()) if one.get("type") == ConditionType.STUCK]
    if stuck not in (["True"], ["False"]):
        return None
    causes = [cause for queue in status.get("queues", ()) for cause in queue.get("stuck", ())]
    return frozenset(cause["proposal"] for cause in causes if "proposal" in cause)


def outline_of(body: Mapping[str, Any]) -> RecoveryOutline:
    """Return a recovery's outline; a body of another version may lack any field."""
    metadata, spec = body["metadata"], body.get("spec", {})
    is_started = not spec.get("suspend") or spec.get("cancel") or "drainStartTime" in body.get("status", {})
    return RecoveryOutline(
        name=metadata["name"],
        target=spec.get("targetRef", {}).get("name", ""),
        queue=spec.get("queue", ""),
        proposed_for=metadata.get("labels", {}).get(PROPOSED_FOR, "") if not is_started else "",
    )
