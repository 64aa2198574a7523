"""The states in which the model may be while a trace is followed, and what a server answers in them. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from tests.chaos.points import Crossing
from tests.model.state import NO_RECOVERY, Message, Process, State, added, put
from tests.model.surroundings import after_eviction, after_failover
from tests.model.view import Outcome, View

_OPEN_AFTER: Final = {
    **{key: {"preparing", "purged"} for key in ("open", "freeze", "move_unacked", "complete", "put_back_unacked")},
    **{key: {"purged"} for key in ("boundary", "push", "stage")},
}
"""States of a run after scripts that have answered OK; what is sorted may be over by then, so it is not among them."""


class Pending(NamedTuple):
    """An effect that may still take place: what its process knew."""

    process: Process
    effect: Crossing


class Hypothesis(NamedTuple):
    """A state in which the model may be; its processes are those of the operators, in the order of their appearance."""

    state: State
    pending: tuple[Pending, ...] = ()


def whole_view(state: State, process: Process, *, one_by_one: bool = False) -> View:
    """Return what a process sees with nothing of the protocol taken out."""
    return View(state, process, frozenset(), one_by_one)


def claims(view: View, numbers: Sequence[int], claim: Callable[[View], Outcome]) -> Iterator[tuple[State, Process]]:
    """Yield the state after a batch of claims; the process goes on with a push, or with the next batch."""
    for place, number in enumerate(numbers):
        if view.process.at != "claim" or view.process.todo[:1] != (number,):
            return
        outcome = claim(view._replace(one_by_one=view.one_by_one and place == len(numbers) - 1))
        if outcome is None:
            return
        view = view._replace(state=outcome[0], process=outcome[1])
    yield view.state, view.process


def answers(before: State, after: State, recovery: int, script: str, answer: str) -> bool:
    """Tell whether a script answers so, by the state of the run that it is about."""
    was, run = before.runs[recovery], after.runs[recovery]
    word, _, rest = answer.partition(" ")
    if script == "close":
        wanted = {"CLOSED": "closed", "CLOSING": "closing", "RETURNING": "purged"}
        return run.state == wanted.get(word) and (word != "CLOSED" or run.was_purged == (rest == "1"))
    if script == "release" and word == "OK":
        return run.state == "closed" and after.lock != recovery
    states = {"CLOSED": {"closing", "closed"}, "LOST": {"absent"}}
    if word == "OK":
        return script not in _OPEN_AFTER or run.state in _OPEN_AFTER[script]
    return (
        before.lock not in {NO_RECOVERY, recovery} if word == "LOCKED" else was.state in states.get(word, {was.state})
    )


def is_written(before: State, after: State, recovery: int, effect: str) -> bool:
    """Tell whether the API server has what a recovery has written to the workers or to their autoscaler."""
    written = {
        "scale to 0": after.replicas == 0 and after.note == recovery,
        "scale back": after.replicas > 0 and after.note == NO_RECOVERY,
        "restart": before.restarted != after.restarted,
        "keda pause": after.paused == recovery,
        "keda unpause": before.paused != NO_RECOVERY == after.paused,
    }
    if effect in {"fence", "keda fence"}:
        return shared(before) == shared(after)
    return written.get(effect, True)


def after_surroundings(state: State) -> Iterator[State]:
    """Yield what pods and the user may do next."""
    if bool(state.pods) != bool(state.replicas):
        yield state._replace(pods=state.replicas)
    if state.cancels:
        yield state._replace(cancels=0, cancelled=True)
    if state.deletions:
        there = state.finalizers[0]
        yield state._replace(deletions=0, deleted=there, cancelled=there, vanished=NO_RECOVERY if there else 0)
    if state.replacements:
        yield state.scaled(1, NO_RECOVERY)._replace(replacements=0, is_new=True)
    if state.removals:
        yield state._replace(removals=0, vanished=len(state.statuses) - 1)
    yield from after_failover(state)
    if state.evictions:
        yield from after_eviction(state._replace(evictions=0))


def supplied(one: Hypothesis, effect: str) -> Hypothesis:
    """Return the state with what the harness adds between effects: a message in the queue, or in a worker's hands."""
    state, message = one.state, Message("other", len(one.state.sent) + 100)
    if effect == "redis boundary" and not state.queue:
        return one._replace(state=state.queued(message)._replace(sent=added(state.sent, message)))
    if effect == "redis move_unacked" and not state.unacked:
        return one._replace(state=state._replace(unacked=(message,), sent=added(state.sent, message)))
    return one


def shared(state: State) -> State:
    """Return what all processes share."""
    return state._replace(processes=())


def with_new_process(state: State, process: Process) -> State:
    """Return the state with one more process."""
    return state._replace(processes=(*state.processes, process))


def with_process(one: Hypothesis, actor: int, process: Process) -> Hypothesis:
    """Return the hypothesis with another state of one process."""
    return one._replace(state=one.state._replace(processes=put(one.state.processes, actor, process)))


def begun_again(one: Hypothesis, actor: int) -> Process:
    """Return the process as it begins a step again."""
    return Process(one.state.processes[actor].recovery)
