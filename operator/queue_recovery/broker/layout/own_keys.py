"""The operator's own keys: locks, records of runs, and quarantines, below the application's prefix.

A server's ACL that grants a team its prefix therefore denies it what the operator stores for other teams.
"""

from dataclasses import dataclass

from queue_recovery.api.target import OPERATOR_KEYS

# Fields of a run's hash. Each constant is a prefix; what follows it is named in its comment.

TAKEN_FIELD = "taken:"
"""Then the ending of a key of the quarantine: how many messages that key was given."""

UNSORTED_FIELD = "unsorted:"
"""Then the ending of a taken list's key: how many of its messages are not sorted yet.

The field exists until the list's messages that are left are back in the queue."""

LEFT_FIELD = "left:"
"""Then the ending of a key of the quarantine: how many messages of that list, or of `unacked`, were left."""

LEFT_ID_FIELD = "left_id:"
"""Then the digest of a listed job's task id: its message was found, and left in the queue."""

LEAVE_ID_FIELD = "leave_id:"
"""Then the digest of a task id, of a job of any queue: its message is to be left when it is found."""

LARGE_FIELD = "large:"
"""Then the ending of a key of `unacked` entries: how many that were taken are too large to be read."""

LARGE_LEFT_FIELD = "large_left:"
"""Then the ending of a key of the quarantine: how many messages were left because they are too large to be read."""

SEEN_FIELD = "seen:"
"""Then a job's key: what the job looked like when nothing ran."""

JOB_FIELD = "job:"
"""Then a job's key: the marker that it was enqueued."""


@dataclass(frozen=True)
class OwnKeys:
    """The operator's own keys under one application's prefix."""

    global_key_prefix: str = ""

    @property
    def probe(self) -> str:
        """Return the key on which permissions are tried; it exists no longer than one script."""
        return self._of("probe")

    def lock(self, bare_list: str) -> str:
        """Return the key of a queue's lock, by its list of priority 0; its value is the UID of a run."""
        return self._of(f"lock:{bare_list}")

    def run(self, uid: str) -> str:
        """Return the key of a run's hash: what was done for it in this broker, and whether more may be."""
        return self._of(f"run:{uid}")

    def runs(self, cluster: str) -> str:
        """Return the key of a cluster's sorted set of released runs: UID by when retention looks at it next."""
        return self._of(f"runs:{cluster}")

    def quarantine_name(self, uid: str) -> str:
        """Return the prefix of all keys of a run's quarantine."""
        return self._of(f"quarantine:{uid}")

    def quarantine(self, uid: str, ending: str) -> str:
        """Return the quarantine's key with that ending."""
        return f"{self.quarantine_name(uid)}:{ending}"

    def _of(self, name: str) -> str:
        return f"{self.global_key_prefix}{OPERATOR_KEYS}{name}"


def recovery_uid(run_uid: str) -> str:
    """Return the UID of a run's recovery; one of several queues has a run for each, `<uid>/<queue>`."""
    return run_uid.partition("/")[0]


def ready_ending(attempt: int, priority: int) -> str:
    """Return the ending of the quarantine's key for a list that was taken."""
    return f"{attempt}:ready:{priority}"


def left_ending(attempt: int, priority: int) -> str:
    """Return the ending of the key for messages of a taken list that go back, until they are in the queue."""
    return f"{attempt}:left:{priority}"


def unacked_ending(attempt: int) -> str:
    """Return the ending of the quarantine's hash of `unacked` entries: delivery tag to entry."""
    return f"{attempt}:unacked"


def unacked_index_ending(attempt: int) -> str:
    """Return the ending of the quarantine's sorted set of delivery tags by the time of their delivery."""
    return f"{attempt}:unacked_index"


def attempt_and_priority(ending: str) -> tuple[int, int]:
    """Return the purge attempt and the priority that the ending of a list's key names."""
    attempt, _, priority = ending.split(":")
    return int(attempt), int(priority)


def attempt_of(ending: str) -> int:
    """Return the purge attempt that the ending of a quarantine's key names."""
    return int(ending.partition(":")[0])
