"""Where the operator keeps what it knows and what it has taken: below the application's own prefix.

A server's ACL that grants a team its prefix therefore keeps it from what the operator keeps for another team.
"""

from dataclasses import dataclass

from queue_recovery.api.target import OPERATOR_KEYS

TAKEN_FIELD = "taken:"
"""What those fields of a run begin with that count what is in the quarantine's key of the same ending."""

UNSORTED_FIELD = "unsorted:"
"""What those fields of a run begin with that say how many messages of a taken list are not sorted yet.

The field is there until what is kept of the list is back in the queue."""

KEPT_FIELD = "kept:"
"""What those fields of a run begin with that count what a selection left of a taken list, or of `unacked`."""

KEPT_ID_FIELD = "kept_id:"
"""What those fields of a run begin with that name digests of task ids of jobs whose message was kept."""

LEFT_FIELD = "left:"
"""What those fields of a run begin with that name digests of task ids whose messages are left, of jobs of any queue."""

LARGE_FIELD = "large:"
"""What those fields of a run begin with that count entries of `unacked` that were taken, too large to be read."""

LARGE_KEPT_FIELD = "large_kept:"
"""What those fields of a run begin with that count the messages that were left because they are too large to read."""

SEEN_FIELD = "seen:"
"""What those fields of a run begin with that say what a job looked like when nothing ran."""

JOB_FIELD = "job:"
"""What those fields of a run begin with that are markers of enqueued jobs."""


@dataclass(frozen=True)
class OwnKeys:
    """The operator's own keys under one application's prefix."""

    global_key_prefix: str = ""

    @property
    def probe(self) -> str:
        """Never holds anything for longer than one script: permissions are tried out on it."""
        return self._of("probe")

    def lock(self, bare_list: str) -> str:
        """The lock of the queue whose list of priority 0 that is; holds the UID of a recovery."""
        return self._of(f"lock:{bare_list}")

    def run(self, uid: str) -> str:
        """Hash: what a recovery has done to this broker, and whether it still may."""
        return self._of(f"run:{uid}")

    def runs(self, cluster: str) -> str:
        """Sorted set of a Kubernetes cluster's released runs: UID by when the sweeper looks at it next, in seconds."""
        return self._of(f"runs:{cluster}")

    def quarantine_name(self, uid: str) -> str:
        """What all keys of a recovery's quarantine begin with."""
        return self._of(f"quarantine:{uid}")

    def quarantine(self, uid: str, ending: str) -> str:
        """The quarantine's key of that ending."""
        return f"{self.quarantine_name(uid)}:{ending}"

    def _of(self, name: str) -> str:
        return f"{self.global_key_prefix}{OPERATOR_KEYS}{name}"


def recovery_uid(run_uid: str) -> str:
    """The UID of the recovery whose run that is; a recovery of several queues has one for each, `<uid>/<queue>`."""
    return run_uid.partition("/")[0]


def ready_ending(sweep: int, priority: int) -> str:
    """Ends the quarantine's key of a list that was taken."""
    return f"{sweep}:ready:{priority}"


def kept_ending(sweep: int, priority: int) -> str:
    """Ends the key of what is kept of a taken list, until it is back in the queue."""
    return f"{sweep}:kept:{priority}"


def unacked_ending(sweep: int) -> str:
    """Ends the quarantine's hash of `unacked` entries: delivery tag to entry."""
    return f"{sweep}:unacked"


def unacked_index_ending(sweep: int) -> str:
    """Ends the quarantine's sorted set of delivery tags by their time."""
    return f"{sweep}:unacked_index"


def place_of(ending: str) -> tuple[int, int]:
    """Return the sweep and the priority of what ends the quarantine's key of a list."""
    sweep, _, of = ending.split(":")
    return int(sweep), int(of)


def sweep_of(ending: str) -> int:
    """Return the sweep of what ends a key of the quarantine."""
    return int(ending.partition(":")[0])
