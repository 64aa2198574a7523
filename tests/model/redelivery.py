"""Giving back entries of `unacked` whose consumer is gone, in the order of `recovery/redeliver.py`."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model.state import Given, Message, removed
from tests.model.view import Outcome, View


def finds_nothing(view: View) -> bool:
    """Tell whether a recovery that is planned has nothing to give back, and does nothing else."""
    state, number = view.state, view.recovery
    return number in state.redelivers and number not in state.restarts and set(state.unacked) <= set(state.hands)


def _end(view: View) -> Outcome:
    return view.save(view.status._replace(ending="Succeeded"))


def _read(view: View) -> Outcome:
    state = view.state
    if not view.has("redeliver: looks at the workers after the messages"):
        return view.stay(view.process._replace(at="read after the look", tags=state.hands))
    return view.stay(view.process._replace(at="look at the processes", tags=state.unacked, again=()))


def _read_late(view: View) -> Outcome:
    return _judged(view, tuple(tag for tag in view.state.unacked if tag not in view.process.tags))


def _look(view: View) -> Outcome:
    """Leave what a running process holds: in the model, what is in its hands at this moment."""
    held = view.state.hands if view.has("redeliver: only what no running process can hold") else ()
    return _judged(view, tuple(tag for tag in view.process.tags if tag not in held))


def _judged(view: View, tags: tuple[Message, ...]) -> Outcome:
    at = "give back what is stranded" if tags else "write that it is redelivered"
    again = tuple(tag for tag in view.process.again if tag in tags)
    return view.stay(view.process._replace(at=at, tags=tags, again=again))


def _give_back(view: View) -> Outcome:
    state, run, again = view.state, view.run, view.process.again
    if run.state != "purged" and view.has("redeliver: only while the run is open"):
        return view.go("end as failed")
    there = [tag for tag in view.process.tags if tag in state.unacked]
    if view.has("redeliver: only the delivery that was read"):
        there = [tag for tag in there if tag not in again]
    for tag in there:
        state = state._replace(unacked=removed(state.unacked, tag))
    run = run._replace(markers=tuple(sorted({*run.markers, *(tag.job for tag in there)})))
    given = (*state.given, *(Given(view.recovery, tag) for tag in there))
    state = state._replace(given=tuple(sorted(given))).with_run(view.recovery, run)
    if not view.has("redeliver: in one step"):
        return view.stay(view.process._replace(at="push what was removed", tags=tuple(there), again=()), state)
    return view.go("read unacked", state.queued(*there, last=False))


def _push(view: View) -> Outcome:
    return view.go("read unacked", view.state.queued(*view.process.tags, last=False))


def _write(view: View) -> Outcome:
    return view.save(view.status._replace(step="redelivered"))


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "end with nothing to do": _end,
    "read unacked": _read,
    "read after the look": _read_late,
    "look at the processes": _look,
    "give back what is stranded": _give_back,
    "push what was removed": _push,
    "write that it is redelivered": _write,
}
"""What happens at each place of a redelivery."""
