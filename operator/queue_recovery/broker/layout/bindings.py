"""Bindings: to which queue an entry of `unacked` belongs, as kombu itself looks it up, and which queues there are.

`kombu/transport/virtual/base.py` (`Channel._lookup`) and `kombu/transport/virtual/exchange.py`. What an exchange's
type is, is stored in no key; but only bindings of topic exchanges have a pattern.

Anybody who can write to the broker can write bindings. So names are bounded as AMQP bounds them, matching takes a time
that grows with their lengths and no faster, and many bindings are neither kept in memory nor looked at in one go.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from heapq import nsmallest
from time import perf_counter
from typing import Final, NamedTuple

from queue_recovery.broker.connection.client import Client
from queue_recovery.broker.layout.envelope import LONGEST_NAME
from queue_recovery.broker.layout.keys import Layout

_KEPT_AT_MOST: Final = 10_000
"""Bindings kept in memory, over all exchanges; those of others are read again for each route."""

_ROUTES_KEPT_AT_MOST: Final = 1_000

_OTHERS_NAMED: Final = 5

_LONGEST_TURN: Final = 0.01
"""Seconds after which the event loop gets a turn; `asyncio` gives none between two values that are there already."""


class Binding(NamedTuple):
    """One binding of an exchange."""

    routing_key: str
    is_topic: bool
    queue: str


class Route(NamedTuple):
    """The queues that messages of one exchange and routing key went to."""

    wanted: frozenset[str]
    """Those that were asked for."""
    others: frozenset[str]
    """The first others by name."""


class Exhausted(Exception):
    """An allowance is used up, so a route is not known."""


@dataclass
class Allowance:
    """How much may still be looked up, by somebody who asks often and can do without an answer."""

    reads: int
    """Commands that read bindings, each of some 100."""
    routes: int
    """Pairs of an exchange and a routing key that are matched with bindings."""

    def read(self) -> None:
        """Take one read; raises Exhausted."""
        self.reads = _one_less(self.reads)

    def match(self) -> None:
        """Take one route; raises Exhausted."""
        self.routes = _one_less(self.routes)


def _one_less(left: int) -> int:
    if left <= 0:
        raise Exhausted
    return left - 1


class Bindings:
    """The bindings of a broker, each exchange's read once unless there are very many."""

    def __init__(
        self, client: Client, layout: Layout, queues: Collection[str], allowance: Allowance | None = None
    ) -> None:
        """Look for these queues, without a limit if there is no allowance; remember nothing yet."""
        self._client = client
        self._layout = layout
        self._queues = frozenset(queues)
        self._allowance = allowance
        self._known: dict[str, list[Binding]] = {}
        self._kept = 0
        self._routes: dict[tuple[str, str], Route] = {}

    async def route(self, exchange: str, routing_key: str) -> Route:
        """Return the queues that a message of that exchange and routing key went to; raises Exhausted."""
        if not exchange:
            return self._of([routing_key])
        found = self._routes.get((exchange, routing_key))
        if found is None:
            if self._allowance is not None:
                self._allowance.match()
            found = await self._look_up(exchange, routing_key)
            if len(self._routes) >= _ROUTES_KEPT_AT_MOST:
                self._routes.pop(next(iter(self._routes)))
            self._routes[exchange, routing_key] = found
        return found

    async def _look_up(self, exchange: str, routing_key: str) -> Route:
        topic = Topic(routing_key)
        found: set[str] = set()
        began = perf_counter()
        async for binding in self._bindings_of(exchange):
            if topic.matches(binding.routing_key) if binding.is_topic else binding.routing_key == routing_key:
                found.add(binding.queue)
                if len(found) > _KEPT_AT_MOST:
                    found = set().union(*self._of(found))
            if perf_counter() - began > _LONGEST_TURN:
                await asyncio.sleep(0)
                began = perf_counter()
        return self._of(found)

    async def _bindings_of(self, exchange: str) -> AsyncIterator[Binding]:
        if exchange in self._known:
            for binding in self._known[exchange]:
                yield binding
            return
        kept: list[Binding] = []
        spend = None if self._allowance is None else self._allowance.read
        async for binding in read_bindings(self._client, self._layout, self._layout.bindings(exchange), spend):
            if self._kept + len(kept) <= _KEPT_AT_MOST:
                kept.append(binding)
            yield binding
        if self._kept + len(kept) <= _KEPT_AT_MOST:
            self._known[exchange] = kept
            self._kept += len(kept) + 1

    def _of(self, found: Collection[str]) -> Route:
        wanted = self._queues.intersection(found)
        return Route(wanted, frozenset(nsmallest(_OTHERS_NAMED, (name for name in found if name not in wanted))))


async def read_bindings(
    client: Client, layout: Layout, key: str | bytes, spend: Callable[[], None] | None = None
) -> AsyncIterator[Binding]:
    """Read a set of bindings, but for those whose names are longer than AMQP's; `spend` as in `Client.scan_set`."""
    async for member in client.scan_set(key, spend):
        parts = member.decode(errors="replace").split(layout.separator)
        # Routing key, pattern, queue; the pattern, which kombu makes of the routing key, is longer.
        if len(parts) == 3 and all(len(part.encode()) <= LONGEST_NAME for part in (parts[0], parts[2])):  # noqa: PLR2004
            yield Binding(parts[0], bool(parts[1]), parts[2])


class Topic:
    """A routing key, to be matched by the binding keys of topic exchanges.

    `*` is one word, `#` one or more, words end at dots. Not by the regular expression that the binding holds: it was
    written by somebody else and might never return.
    """

    def __init__(self, routing_key: str) -> None:
        """Note at which places each word is: as bits of a number, the first word's the lowest."""
        words = routing_key.split(".")
        self._end = 1 << len(words)
        self._places: dict[str, int] = {}
        for place, word in enumerate(words):
            self._places[word] = self._places.get(word, 0) | 1 << place
        self._any = self._end - 1 & ~self._places.get("", 0)

    def matches(self, binding_key: str) -> bool:
        """Tell whether a binding takes it; one step for each word of the binding."""
        if len(binding_key) > LONGEST_NAME:
            return False
        reached = 1
        for part in binding_key.split("."):
            if part == "#":
                first = reached & -reached
                reached = 2 * self._end - 1 & ~(2 * first - 1)
            else:
                places = self._any | self._places.get("*", 0) if part == "*" else self._places.get(part, 0)
                reached = (reached & places) << 1
            if not reached:
                return False
        return bool(reached & self._end)


def topic_matches(binding_key: str, routing_key: str) -> bool:
    """Tell whether a topic binding takes a routing key."""
    return Topic(routing_key).matches(binding_key)
