"""Bindings: to which queue an entry of `unacked` belongs, as kombu itself looks it up, and which queues there are.

`kombu/transport/virtual/base.py` (`Channel._lookup`) and `kombu/transport/virtual/exchange.py`. What an exchange's
type is stands in no key; but only bindings of topic exchanges have a pattern.
"""

from collections.abc import AsyncIterator

from queue_recovery.broker.client import Client
from queue_recovery.broker.keys import Layout


class Bindings:
    """The bindings of a broker, each exchange's read once."""

    def __init__(self, client: Client, layout: Layout) -> None:
        """Remember nothing yet."""
        self._client = client
        self._layout = layout
        self._known: dict[str, list[tuple[str, bool, str]]] = {}

    async def queues(self, exchange: str, routing_key: str) -> frozenset[str]:
        """Return the queues that a message of that exchange and routing key went to."""
        if not exchange:
            return frozenset({routing_key})
        if exchange not in self._known:
            key = self._layout.bindings(exchange)
            self._known[exchange] = [binding async for binding in read_bindings(self._client, self._layout, key)]
        return frozenset(
            queue
            for binding_key, is_topic, queue in self._known[exchange]
            if (topic_matches(binding_key, routing_key) if is_topic else binding_key == routing_key)
        )


async def read_bindings(client: Client, layout: Layout, key: str | bytes) -> AsyncIterator[tuple[str, bool, str]]:
    """Read a set of bindings: routing key, whether it is a topic's, queue."""
    async for member in client.scan_set(key):
        parts = member.decode(errors="replace").split(layout.separator)
        if len(parts) == 3:  # noqa: PLR2004 - routing key, pattern, queue
            yield parts[0], bool(parts[1]), parts[2]


def topic_matches(binding_key: str, routing_key: str) -> bool:
    """Tell whether a topic binding takes a routing key: `*` is one word, `#` one or more, words end at dots.

    Not by the regular expression that the binding holds: it was written by someone else and might never return.
    """
    words = routing_key.split(".")
    reached = {0}
    for part in binding_key.split("."):
        if part == "#":
            reached = set(range(min(reached) + 1, len(words) + 1))
        else:
            reached = {
                at + 1 for at in reached if at < len(words) and (words[at] == part or (part == "*" and words[at]))
            }
        if not reached:
            return False
    return len(words) in reached
