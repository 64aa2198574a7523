"""Every key: where Celery keeps its messages in Redis, and where the operator keeps its own.

Celery's keys are those of kombu's Redis transport (`kombu/transport/redis.py`: `_q_for_pri`, `priority_steps`, `sep`,
`unacked_key`, `keyprefix_queue`, and `GlobalKeyPrefixMixin` for the prefix that stands before each of them).
"""

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from queue_recovery.api.target import OPERATOR_KEYS, TransportOptions

PROBE = f"{OPERATOR_KEYS}probe"
"""Never holds anything for longer than one script: permissions are tried out on it."""

TAKEN_FIELD = "taken:"
"""What those fields of a run begin with that count what is in the quarantine's key of the same ending."""

UNSORTED_FIELD = "unsorted:"
"""What those fields of a run begin with that say how many messages of a taken list are not sorted yet.

The field is there until what is kept of the list is back in the queue."""

KEPT_FIELD = "kept:"
"""What those fields of a run begin with that count what a selection left of a taken list, or of `unacked`."""

KEPT_ID_FIELD = "kept_id:"
"""What those fields of a run begin with that name task ids of jobs whose message was kept."""

LARGE_FIELD = "large:"
"""What those fields of a run begin with that count entries of `unacked` that were taken, too large to be read."""

LARGE_KEPT_FIELD = "large_kept:"
"""What those fields of a run begin with that count the messages that were left because they are too large to read."""

SEEN_FIELD = "seen:"
"""What those fields of a run begin with that say what a job looked like when nothing ran."""

JOB_FIELD = "job:"
"""What those fields of a run begin with that are markers of enqueued jobs."""

_PRIORITIES = range(256)
"""All that AMQP knows; an application may use steps that the target does not declare."""


@dataclass(frozen=True)
class Layout:
    """Celery's keys under the transport options of one application."""

    options: TransportOptions

    @property
    def unacked(self) -> str:
        """Hash: delivery tag to `[envelope, exchange, routing key]`."""
        return self._prefixed(self.options.unacked_key)

    @property
    def unacked_index(self) -> str:
        """Sorted set: delivery tag by the time of its delivery, in seconds."""
        return self._prefixed(self.options.unacked_index_key)

    @property
    def separator(self) -> str:
        """What stands between the parts of a binding, as between a queue's name and a priority."""
        return self.options.sep

    def bindings(self, exchange: str) -> str:
        """Set of the exchange's bindings: routing key, pattern and queue, separated."""
        return self._prefixed(f"_kombu.binding.{exchange}")

    def bare_list(self, queue: str) -> str:
        """The list of priority 0, which has the queue's own name."""
        return self._prefixed(queue)

    def declared_lists(self, queue: str) -> Mapping[int, str]:
        """The lists that the target declares, by priority; the bare one is always among them."""
        return {priority: self.list_of(queue, priority) for priority in sorted({0, *self.options.priority_steps})}

    def possible_lists(self, queue: str) -> Mapping[int, str]:
        """The lists that the queue may have under any `priority_steps`, by priority.

        Undeclared ones count only under a separator that no person types, such as Celery's own: with `:` as
        separator, `mail:7` may as well be another program's list.
        """
        if self.options.sep.isprintable():
            return self.declared_lists(queue)
        return {priority: self.list_of(queue, priority) for priority in _PRIORITIES}

    def queue_of_list(self, key: str) -> str:
        """The queue that has this list, of any priority."""
        name, separator, priority = key.removeprefix(self.options.global_key_prefix).rpartition(self.options.sep)
        return name if separator and priority.isdecimal() else name + separator + priority

    def step(self, priority: int) -> int:
        """The highest of the target's priority steps that is not above it: kombu's `Channel.priority`."""
        steps = sorted({0, *self.options.priority_steps})
        return steps[bisect(steps, max(0, priority)) - 1]

    def list_of(self, queue: str, priority: int) -> str:
        """The list that has this priority's number in its name."""
        return self._prefixed(f"{queue}{self.options.sep}{priority}" if priority else queue)

    def _prefixed(self, key: str) -> str:
        return self.options.global_key_prefix + key


def lock_key(bare_list: str) -> str:
    """The lock of the queue whose list of priority 0 that is; holds the UID of a recovery."""
    return f"{OPERATOR_KEYS}lock:{bare_list}"


def run_key(uid: str) -> str:
    """Hash: what a recovery has done to this broker, and whether it still may."""
    return f"{OPERATOR_KEYS}run:{uid}"


def recovery_uid(run_uid: str) -> str:
    """The UID of the recovery whose run that is; a recovery of several queues has one for each, `<uid>/<queue>`."""
    return run_uid.partition("/")[0]


def runs_key(cluster: str) -> str:
    """Sorted set of a Kubernetes cluster's released runs: UID by when the sweeper looks at it next, in seconds."""
    return f"{OPERATOR_KEYS}runs:{cluster}"


def quarantine_name(uid: str) -> str:
    """What all keys of a recovery's quarantine begin with."""
    return f"{OPERATOR_KEYS}quarantine:{uid}"


def quarantine_key(uid: str, ending: str) -> str:
    """The quarantine's key of that ending."""
    return f"{quarantine_name(uid)}:{ending}"


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
