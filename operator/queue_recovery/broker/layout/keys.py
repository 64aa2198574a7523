"""The keys under which Celery stores its messages in Redis.

The keys are those of kombu's Redis transport (`kombu/transport/redis.py`: `_q_for_pri`, `priority_steps`, `sep`,
`unacked_key`, `keyprefix_queue`, and `GlobalKeyPrefixMixin` for the prefix that comes before each of them).
"""

from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from queue_recovery.api.servers import TransportOptions

_PRIORITIES = range(256)
"""All priorities of AMQP; an application may use steps that the target does not declare."""


@dataclass(frozen=True)
class Layout:
    """Celery's keys under the transport options of one application."""

    options: TransportOptions

    @property
    def unacked(self) -> str:
        """Return the key of the hash of delivered messages: delivery tag to `[envelope, exchange, routing key]`."""
        return self._prefixed(self.options.unacked_key)

    @property
    def unacked_index(self) -> str:
        """Return the key of the sorted set of delivery tags by the time of their delivery, in seconds."""
        return self._prefixed(self.options.unacked_index_key)

    @property
    def separator(self) -> str:
        """Return the separator of a binding's parts, and of a queue's name and a priority."""
        return self.options.sep

    def bindings(self, exchange: str) -> str:
        """Return the key of an exchange's set of bindings: routing key, pattern and queue, separated."""
        return self._prefixed(f"_kombu.binding.{exchange}")

    def bare_list(self, queue: str) -> str:
        """Return the key of the list of priority 0, which has the queue's own name."""
        return self._prefixed(queue)

    def declared_lists(self, queue: str) -> Mapping[int, str]:
        """Return the lists that the target declares, by priority; the bare one is always among them."""
        return {priority: self.list_of(queue, priority) for priority in sorted({0, *self.options.priority_steps})}

    def possible_lists(self, queue: str) -> Mapping[int, str]:
        """Return the lists that the queue may have under any `priority_steps`, by priority.

        Undeclared ones are included only if the separator is not printable, such as Celery's default: with `:` as
        separator, `mail:7` may be another program's list.
        """
        if self.options.sep.isprintable():
            return self.declared_lists(queue)
        return {priority: self.list_of(queue, priority) for priority in _PRIORITIES}

    def queue_of_list(self, key: str) -> str:
        """Return the queue of a list of any priority."""
        name, separator, priority = key.removeprefix(self.options.global_key_prefix).rpartition(self.options.sep)
        return name if separator and priority.isdecimal() else name + separator + priority

    def step(self, priority: int) -> int:
        """Return the highest of the target's priority steps that is not above it (kombu's `Channel.priority`)."""
        steps = sorted({0, *self.options.priority_steps})
        return steps[bisect(steps, max(0, priority)) - 1]

    def list_of(self, queue: str, priority: int) -> str:
        """Return the list with this priority's number in its name."""
        return self._prefixed(f"{queue}{self.options.sep}{priority}" if priority else queue)

    def _prefixed(self, key: str) -> str:
        return self.options.global_key_prefix + key
