"""Taking the messages, effect by effect, in the order of the broker room: entries of `unacked` first, then lists."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model import sorting
from tests.model.state import Message, added, removed
from tests.model.view import Outcome, View


def _begin_to_take(view: View) -> Outcome:
    run, attempt = view.run, view.status.attempt
    if not view.is_open:
        return view.go("end as failed")
    if view.stops_none:
        state = view.state.with_run(view.recovery, run._replace(state="purged"))
        return view.go("write that nothing is taken", state)
    if run.complete >= attempt:
        return view.go("look again")
    if run.attempt >= attempt:
        return view.go("scan once more")
    return view.go("scan" if view.has("take: unacked before the lists") else "pass the boundary")


def _taken_of(view: View, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the entries of `unacked` that are taken: those that are selected, and of no job that is skipped."""
    return tuple(message for message in messages if not view.goes_back(message))


def _scan(view: View) -> Outcome:
    tags = _taken_of(view, view.state.unacked)
    at = "move unacked" if tags else "pass the boundary"
    return view.stay(view.process._replace(at=at, tags=tags))


def _scan_once_more(view: View) -> Outcome:
    tags = _taken_of(view, view.state.unacked)
    return view.stay(view.process._replace(at="move unacked again" if tags else "look what to sort", tags=tags))


def _move_unacked(view: View) -> Outcome:
    state, run, attempt = view.state, view.run, view.status.attempt
    found = [tag for tag in view.process.tags if tag in state.unacked]
    goes_on = "begin to take" if view.has("take: completes an attempt that consumers disturb") else "give it up"
    then = "scan" if view.process.at == "move unacked" else goes_on
    if not view.is_open:
        return view.go("end as failed")
    if run.complete >= attempt and view.has("take: refused once complete"):
        return view.go(then)
    if run.markers:
        return view.go("end as failed")
    for tag in found:
        state = state._replace(unacked=removed(state.unacked, tag))
    run = run._replace(moved=added(run.moved, *found)) if attempt == 1 else run._replace(taken=added(run.taken, *found))
    return view.go(then, state.with_run(view.recovery, run))


def _boundary(view: View) -> Outcome:
    state, run, attempt = view.state, view.run, view.status.attempt
    if not view.is_open:
        return view.go("end as failed")
    if run.attempt >= attempt:
        return view.go("scan once more")
    if run.markers:
        return view.go("end as failed")
    run = run._replace(state="purged", attempt=attempt)
    if sorting.takes_all(view):
        run = run._replace(taken=added(run.taken, *state.queue))
    else:
        run = run._replace(sorting=bool(state.queue), unsorted=state.queue)
    return view.go("scan once more", state._replace(queue=()).with_run(view.recovery, run))


def _complete(view: View) -> Outcome:
    run, attempt = view.run, view.status.attempt
    if not view.is_open:
        return view.go("end as failed")
    if run.attempt < attempt:
        return view.read_again()
    return view.go("look again", view.state.with_run(view.recovery, run._replace(complete=max(run.complete, attempt))))


def _give_up(view: View) -> Outcome:
    if _drain_held(view):
        return view.go("begin to take")
    return view.save(view.status._replace(step="draining", held=False))


def _look_again(view: View) -> Outcome:
    return view.go("write that it is purged" if _drain_held(view) else "write that it drains again")


def _drain_held(view: View) -> bool:
    noted = view.status.held or not view.has("drain: the generation is recorded")
    return noted and not view.state.replicas and not view.state.pods


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "begin to take": _begin_to_take,
    "scan": _scan,
    "move unacked": _move_unacked,
    "pass the boundary": _boundary,
    "scan once more": _scan_once_more,
    "move unacked again": _move_unacked,
    "give it up": _give_up,
    "complete": _complete,
    "look again": _look_again,
}
"""What happens at each place of a purge, but for its writes of the status."""
