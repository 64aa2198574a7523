"""Every order in which things can happen, from one beginning; and the shortest way to what is wrong."""

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.model.properties import Violation, violated_already, violated_at_the_end
from tests.model.protocol import EFFECTS, NEEDS_BROKER
from tests.model.state import NO_RECOVERY, Process, State, put
from tests.model.surroundings import Move, is_over, moves
from tests.model.view import Part, View

Ending = tuple[str, tuple[int, ...]]
"""How a recovery has ended, and which jobs it says were enqueued."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What an exploration found."""

    violation: Violation | None
    """None: the protocol holds."""
    trace: tuple[str, ...]
    """What happened until then."""
    states: int
    endings: frozenset[tuple[Ending, ...]]
    """The endings of all recoveries together, wherever no operator has anything left to do."""


def explore(
    start: State,
    *,
    without: frozenset[Part] = frozenset(),
    one_by_one: bool = False,
    seeking: Violation | None = None,
    alone: bool | None = None,
) -> Found:
    """Visit every state that can be reached, nearest first, until one is wrong or none is left.

    Args:
        start: where it begins.
        without: the parts of the protocol that are taken out.
        one_by_one: each job is pushed before the next one is claimed; see `View`.
        seeking: the violation to look for; None: any.
        alone: see `violated_already`; None: what can be promised for this beginning.
    """
    alone = not (start.scalings or start.replacements or start.outlives) if alone is None else alone
    visited = _Visited(start)
    ends: list[int] = []
    endings: set[tuple[Ending, ...]] = set()
    with _no_garbage():
        for number, state in enumerate(visited.states):  # which grows meanwhile
            wrong, over = list(violated_already(state, alone=alone)), is_over(state)
            if over:
                wrong += violated_at_the_end(state)
                endings.add(tuple((status.ending, status.enqueued) for status in state.statuses))
            if over or _is_left_well(state):
                ends.append(number)
            for violation in wrong:
                if seeking in {None, violation}:
                    return visited.found(violation, number, endings)
            for move in _all_moves(state, without, one_by_one=one_by_one):
                visited.add(number, move)
        stuck = visited.first_without_way_to(ends)
    if stuck is None:
        return visited.found(None, 0, endings)
    never: Violation = "recovery without end" if visited.states[stuck].replicas else "workers left at 0"
    return visited.found(never if seeking in {None, never} else None, stuck, endings)


class _Visited:
    """The states that were reached, numbered as they were found."""

    def __init__(self, start: State) -> None:
        self.states = [start]
        self._numbers = {start: 0}
        self._ways = [(0, Move("nothing", start))]
        self._sure_origins: list[list[int]] = [[]]

    def add(self, origin: int, move: Move) -> None:
        """Note where a move leads."""
        # Processes of one recovery differ only by where they are, so their order does not count.
        state, processes = move.state, tuple(sorted(move.state.processes))
        if processes != state.processes:
            state = state._replace(processes=processes)
        number = self._numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
            self._ways.append((origin, move))
            self._sure_origins.append([])
        if move.sure:
            self._sure_origins[number].append(origin)

    def found(self, violation: Violation | None, number: int, endings: Iterable[tuple[Ending, ...]]) -> Found:
        """Return the result, with the way to a state if it is wrong."""
        way: list[str] = []
        while number:
            number, move = self._ways[number]
            way.append(str(move))
        return Found(
            violation=violation,
            trace=tuple(reversed(way)) if violation else (),
            states=len(self.states),
            endings=frozenset(endings),
        )

    def first_without_way_to(self, ends: Iterable[int]) -> int | None:
        """Return the first state from which no end can be reached unless chance helps, or None."""
        reaching = bytearray(len(self.states))
        waiting = list(ends)
        while waiting:
            number = waiting.pop()
            if not reaching[number]:
                reaching[number] = True
                waiting += self._sure_origins[number]
        stuck = reaching.find(0)
        return None if stuck < 0 else stuck


def _is_left_well(state: State) -> bool:
    """Tell whether the workers are back for good, although the broker is not there to close the runs in."""
    status = state.statuses[0]
    ends = status.step == "planned" or bool(status.ending)
    return state.broker_away and ends and state.replicas > 0 and state.note == NO_RECOVERY


def _all_moves(state: State, without: frozenset[Part], *, one_by_one: bool) -> Iterator[Move]:
    for index, process in enumerate(state.processes):
        if process.at != "done":
            yield from _process(state, index, View(state, process, without, one_by_one))
    yield from moves(state, without)


def _process(state: State, index: int, view: View) -> Iterator[Move]:
    process = view.process
    waits = state.broker_away and process.at in NEEDS_BROKER
    outcome = None if waits else EFFECTS[process.at](view)
    if outcome is not None:
        after, then = outcome
        yield Move(process.at, after._replace(processes=put(after.processes, index, then)), process=process)
    if process.at == "read the status":
        return
    if state.deaths:
        died = state._replace(processes=_begun_again(state, index), deaths=state.deaths - 1)
        yield Move("dies", died, sure=False, process=process)
    if state.cancelled and process.recovery == 0 and not process.status.ending:
        yield Move("receives the cancel", state._replace(processes=_begun_again(state, index)), process=process)
    if view.is_gone and not process.status.ending:
        _, then = view.gone()
        ended = state._replace(processes=put(state.processes, index, then))
        yield Move("receives that its resource is gone", ended, process=process)


def _begun_again(state: State, index: int) -> tuple[Process, ...]:
    return put(state.processes, index, Process(state.processes[index].recovery))


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Disable the garbage collector: states have no reference cycles, and looking for them takes most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
