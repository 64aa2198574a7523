"""What a recovery does to the lock of one that is gone, effect by effect, in the order of `recovery/takeover.py`.

Of one that has ended, too, whose lock the broker has again. The holder is read from the lock at each effect; once it is
somebody else's there is nothing left to end.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model import finish, sorting
from tests.model.state import NO_RECOVERY, Process
from tests.model.view import Outcome, View


def _close(view: View) -> Outcome:
    theirs = _theirs(view)
    if theirs is None:
        return view.go("lock", None) if view.status.step == "planned" else view.go("open")
    if not view.has("take over: closes the run"):
        return view.go("release theirs")
    run = finish.closing(theirs)
    state = view.state.with_run(theirs.recovery, run)
    if run.state == "closing":
        return view.go("give theirs back", state)
    if run.state == "purged" and run.sorting:
        return view.go("look what to sort of theirs", state)
    return _closed(view._replace(state=state))


def _give_back(view: View) -> Outcome:
    theirs = _theirs(view)
    if theirs is None:
        return view.go("close theirs")
    return view.go("close theirs for good", finish.given_back(theirs))


def _close_for_good(view: View) -> Outcome:
    theirs = _theirs(view)
    if theirs is None:
        return view.go("close theirs")
    run = theirs.run if theirs.run.state == "closed" else theirs.run._replace(state="closed")
    return _closed(view._replace(state=view.state.with_run(theirs.recovery, run)))


def _sort(view: View) -> Outcome:
    theirs = _theirs(view)
    if theirs is None:
        return view.go("close theirs")
    at = _SORTING[view.process.at]
    outcome = sorting.EFFECTS[at](theirs._replace(process=view.process._replace(recovery=theirs.recovery, at=at)))
    if outcome is None:
        return None
    state, process = outcome
    return view.stay(process._replace(recovery=view.recovery, at=_THEIRS[process.at], status=view.status), state)


def _closed(view: View) -> Outcome:
    run = view.state.runs[view.state.lock]
    todo = tuple(number for number in range(len(view.state.jobs)) if number not in run.markers and run.seen)
    if not run.was_purged or not view.has("take over: settles what was not pushed"):
        todo = ()
    if view.state.statuses[view.state.lock].over and view.has("take over: settles only for one that is gone"):
        return view.stay(view.process._replace(at="release theirs"))
    process = view.process._replace(at="settle theirs" if todo else "release theirs", todo=todo)
    if view.stops_none and view.has("take over: brings the workers back where it stops none"):
        process = process._replace(at="scale theirs back")
    return view.stay(process)


def _scale_back(view: View) -> Outcome:
    theirs = _theirs(view)
    if theirs is None:
        return view.go("close theirs")
    at = "settle theirs" if view.process.todo else "release theirs"
    at = "unpause theirs" if view.state.autoscales and view.has("take over: unpauses where it stops none") else at
    return view.stay(view.process._replace(at=at), finish.restored(theirs))  # a status begins with what each note says


def _settle(view: View) -> Outcome:
    theirs = _theirs(view)
    if theirs is None:
        return view.go("close theirs")
    number, *rest = view.process.todo
    state = view.state.with_job(number, finish.settled(theirs, number))
    return view.stay(view.process._replace(at="settle theirs" if rest else "release theirs", todo=tuple(rest)), state)


def _release(view: View) -> Outcome:
    theirs = _theirs(view)
    return view.go("close theirs", view.state if theirs is None else view.state._replace(lock=NO_RECOVERY))


def _theirs(view: View) -> View | None:
    """Return the view that the lock's holder would have; None: the lock is free, or this recovery's by now."""
    holder = view.state.lock
    if holder in {NO_RECOVERY, view.recovery} or not view.may_take_over(holder):
        return None
    return view._replace(process=Process(holder), knows_selection=False)


_SORTING: Final = {
    "look what to sort of theirs": "look what to sort at the end",
    "sort theirs": "sort at the end",
    "bring theirs back": "bring back at the end",
}
_THEIRS: Final = {"close": "close theirs", **{at_the_end: theirs for theirs, at_the_end in _SORTING.items()}}


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "close theirs": _close,
    "give theirs back": _give_back,
    "close theirs for good": _close_for_good,
    **dict.fromkeys(_SORTING, _sort),
    "scale theirs back": _scale_back,
    "settle theirs": _settle,
    "release theirs": _release,
}
"""What happens at each place of taking over."""
