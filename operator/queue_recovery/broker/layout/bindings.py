"""Look up the queues of an exchange and routing key in the bindings that Celery writes, as kombu does.

kombu's own code is `kombu/transport/virtual/base.py` (`Channel._lookup`) and `kombu/transport/virtual/exchange.py`. No
key stores an exchange's type, but only bindings of topic exchanges have a pattern.

Any client of the broker can write bindings. So names are limited as in AMQP, matching takes time linear in their
lengths, and very many bindings are neither cached nor matched without yielding to the event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass
from heapq import nsmallest
from time import perf_counter
from typing import Final, NamedTuple

from queue_recovery.broker.layout.database import Database
from queue_recovery.broker.layout.envelope import LONGEST_NAME

_MOST_CACHED: Final = 10_000
"""Bindings in the cache, over all exchanges; those of further exchanges are read again for each route."""

_MOST_ROUTES: Final = 1_000

_OTHERS_NAMED: Final = 5

_LONGEST_TURN: Final = 0.01
"""Seconds after which other tasks get a turn; `asyncio` does not switch between two values that are ready."""


class Binding(NamedTuple):
    """One binding of an exchange."""

    routing_key: str
    is_topic: bool
    queue: str


class Route(NamedTuple):
    """The queues that messages of one exchange and routing key went to."""

    wanted: frozenset[str]
    """Those of the queues that were asked for."""
    others: frozenset[str]
    """The first of the other queues by name."""


class Exhausted(Exception):
    """An allowance is used up, so the route is not known."""


@dataclass
class Allowance:
    """How much may still be looked up, for a caller that asks often and tolerates a missing answer."""

    reads: int
    """Commands that read bindings, about 100 bindings each."""
    routes: int
    """Pairs of an exchange and a routing key that are matched against bindings."""

    def read(self) -> None:
        """Use one read; raises Exhausted."""
        self.reads = _one_less(self.reads)

    def match(self) -> None:
        """Use one route; raises Exhausted."""
        self.routes = _one_less(self.routes)


def _one_less(left: int) -> int:
    if left <= 0:
        raise Exhausted
    return left - 1


class Bindings:
    """The bindings of a broker; those of an exchange are read once, unless there are very many."""

    def __init__(self, db: Database, queues: Collection[str], allowance: Allowance | None = None) -> None:
        """Prepare to look for these queues; without an allowance there is no limit."""
        self._db = db
        self._queues = frozenset(queues)
        self._allowance = allowance
        self._known: dict[str, list[Binding]] = {}
        self._cached = 0
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
            if len(self._routes) >= _MOST_ROUTES:
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
                if len(found) > _MOST_CACHED:
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
        cache: list[Binding] = []
        spend = None if self._allowance is None else self._allowance.read
        async for binding in read_bindings(self._db, self._db.layout.bindings(exchange), spend):
            if self._cached + len(cache) <= _MOST_CACHED:
                cache.append(binding)
            yield binding
        if self._cached + len(cache) <= _MOST_CACHED:
            self._known[exchange] = cache
            self._cached += len(cache) + 1

    def _of(self, found: Collection[str]) -> Route:
        wanted = self._queues.intersection(found)
        return Route(wanted, frozenset(nsmallest(_OTHERS_NAMED, (name for name in found if name not in wanted))))


async def read_bindings(
    db: Database, key: str | bytes, spend: Callable[[], None] | None = None
) -> AsyncIterator[Binding]:
    """Read a set of bindings, without those whose names AMQP would refuse; `spend` as in `Client.scan_set`."""
    async for member in db.client.scan_set(key, spend):
        parts = member.decode(errors="replace").split(db.layout.separator)
        # Routing key, pattern, queue. The pattern, which kombu derives from the routing key, may be longer.
        if len(parts) == 3 and all(len(part.encode()) <= LONGEST_NAME for part in (parts[0], parts[2])):  # noqa: PLR2004
            yield Binding(parts[0], bool(parts[1]), parts[2])


class Topic:
    """A routing key that is matched against the binding keys of topic exchanges.

    `*` is one word, `#` one or more; words are separated by dots. The regular expression in the binding is not used:
    another client wrote it, and matching it might never return.
    """

    def __init__(self, routing_key: str) -> None:
        """Index the places of each word as bits of a number, the first place as the lowest bit."""
        words = routing_key.split(".")
        self._end = 1 << len(words)
        self._places: dict[str, int] = {}
        for place, word in enumerate(words):
            self._places[word] = self._places.get(word, 0) | 1 << place
        self._any = self._end - 1 & ~self._places.get("", 0)

    def matches(self, binding_key: str) -> bool:
        """Tell whether a binding matches, in one step for each word of the binding."""
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
    """Tell whether a topic binding matches a routing key."""
    return Topic(routing_key).matches(binding_key)
