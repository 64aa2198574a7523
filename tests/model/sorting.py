"""Sorting a list into what stays in the quarantine and what goes back, in the order of `sort.lua` and `rejoin.lua`.

What goes back is set aside, where no worker reads it, and becomes the queue's list in one step. A purge does this after
its boundary, a restore with the earlier recovery's list, and an ending with what either of them has not finished.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from tests.model.state import Message, Run, State, added
from tests.model.view import Outcome, View


class _Places(NamedTuple):
    """Where a process is while it sorts."""

    look: str
    sort: str
    bring_back: str
    then: str


_STEP: Final = _Places("look what to sort", "sort", "bring back", "")
_END: Final = _Places("look what to sort at the end", "sort at the end", "bring back at the end", "close")


def takes_all(view: View) -> bool:
    """Tell whether a purge may find nothing that goes back, so that its list is not sorted."""
    selects = bool(view.state.back) and view.has("take: leaves what is not selected")
    skips = any(seen.status != "failed" for seen in view.run.seen)
    return not selects and not (skips and view.has("take: leaves the messages of skipped jobs"))


def _look(view: View) -> Outcome:
    places, run = _places(view), view.run
    if not run.sorting:
        return view.go(_then(view, places))
    if run.missing and places is _STEP:
        return view.go("end as failed")
    if run.missing:
        writes_off = view.has("end: writes off what the broker has lost")
        return view.go(places.look, _written_off(view)) if writes_off else view.go("close")
    if not run.unsorted:
        return view.go(places.bring_back)
    return view.stay(view.process._replace(at=places.sort, tags=run.unsorted[-1:], remaining=len(run.unsorted)))


def _written_off(view: View) -> State:
    """Return the state whose run counts what is there."""
    run, gone = view.run, {message.job for message in view.run.missing}
    if view.restores:
        run = run._replace(markers=tuple(job for job in run.markers if job not in gone))
    return view.state.with_run(view.recovery, run._replace(missing=(), lost=True))


def _sort(view: View) -> Outcome:
    """Sort one message, if as many are unsorted as when it was read."""
    places, run = _places(view), view.run
    if run.state != "purged" and view.has("restore: only while the run is open"):
        return view.go("end as failed") if places is _STEP else view.go("close")
    if not run.unsorted or (len(run.unsorted) != view.process.remaining and view.has("sort: only as it was read")):
        return view.go(places.look)
    (read,) = view.process.tags
    message = run.unsorted[-1]
    run = run._replace(unsorted=run.unsorted[:-1])
    # An ending of a restore brings back no more than what is set aside already.
    if view.goes_back(read) and not (view.restores and places is _END):
        return view.go(places.look, _set_aside(view, run, message))
    return view.go(places.look, _kept(view, run, message))


def _set_aside(view: View, run: Run, message: Message) -> State:
    if view.restores:
        run = run._replace(markers=tuple(sorted((*run.markers, message.job))))
    if view.has("bring back: all of it in one step"):
        return view.state.with_run(view.recovery, run._replace(set_aside=(message, *run.set_aside)))
    return view.state.queued(message, last=False).with_run(view.recovery, run)


def _kept(view: View, run: Run, message: Message) -> State:
    """Return the state with a sorted message in the quarantine that it was in."""
    state = view.state.with_run(view.recovery, run)
    if not view.restores:
        return state.with_run(view.recovery, run._replace(taken=added(run.taken, message)))
    earlier = state.runs[state.restores_from]
    return state.with_run(state.restores_from, earlier._replace(taken=(message, *earlier.taken)))


def _bring_back(view: View) -> Outcome:
    """Move one message of producers behind what is set aside, which becomes the queue's list once none is left."""
    places, state, run = _places(view), view.state, view.run
    if not run.sorting:
        return view.go(_then(view, places))
    if run.state != "purged" and view.has("restore: only while the run is open"):
        return view.go("end as failed") if places is _STEP else view.go("close")
    if run.unsorted or run.missing:
        return view.go(places.look)
    set_aside = run.set_aside
    if not view.has("bring back: before what producers have sent"):
        state = state.queued(*set_aside)
    elif set_aside:
        set_aside, state = (*set_aside, *state.queue[:1]), state._replace(queue=state.queue[1:])
        if state.queue:
            return view.go(places.bring_back, state.with_run(view.recovery, run._replace(set_aside=set_aside)))
        state = state.queued(*set_aside)
    return view.go(_then(view, places), state.with_run(view.recovery, run._replace(sorting=False, set_aside=())))


def _places(view: View) -> _Places:
    return _END if view.process.at in _END else _STEP


def _then(view: View, places: _Places) -> str:
    return places.then or ("write that it is restored" if view.restores else "complete")


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    effect: act
    for places in (_STEP, _END)
    for effect, act in ((places.look, _look), (places.sort, _sort), (places.bring_back, _bring_back))
}
"""What happens at each place of sorting."""
