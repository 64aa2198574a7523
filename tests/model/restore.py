"""Putting an earlier recovery's messages back, effect by effect, in the order of `recovery/restoring.py`.

What workers held is put to the tail of the quarantine's list first, the newest first; then the list is sorted.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model.view import Outcome, View


def _look(view: View) -> Outcome:
    earlier = view.state.runs[view.state.restores_from]
    if view.run.state not in {"preparing", "purged"}:
        return view.go("end as failed")
    if view.run.state == "purged":
        return view.go("look what to sort")
    tags = tuple(message for message in earlier.moved if view.goes_back(message))[-1:]
    return view.stay(view.process._replace(at="put back unacked" if tags else "stage", tags=tags))


def _put_back(view: View) -> Outcome:
    state, number, (tag,) = view.state, view.state.restores_from, view.process.tags
    earlier = state.runs[number]
    if view.has("restore: only while the run is open"):
        if view.run.state == "purged":
            return view.go("look what to put back")
        if view.run.state != "preparing":
            return view.go("end as failed")
    if tag in earlier.moved:
        moved = tuple(message for message in earlier.moved if message != tag)
        state = state.with_run(number, earlier._replace(moved=moved, taken=(tag, *earlier.taken)))
    return view.go("look what to put back", state)


def _stage(view: View) -> Outcome:
    """Say that the earlier list is to be sorted: from here on only this run changes it."""
    state, number, run = view.state, view.state.restores_from, view.run
    if run.state == "purged":
        return view.go("look what to sort")
    if run.state != "preparing" and view.has("restore: only while the run is open"):
        return view.go("end as failed")
    earlier = state.runs[number]
    run = run._replace(state="purged", attempt=1, sorting=True, unsorted=earlier.taken)
    return view.go("look what to sort", state.with_run(number, earlier._replace(taken=())).with_run(view.recovery, run))


def _write_restored(view: View) -> Outcome:
    if not view.run.markers:
        return view.go("end as failed")
    return view.save(view.status._replace(step="restored", ending="Succeeded"))


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "look what to put back": _look,
    "put back unacked": _put_back,
    "stage": _stage,
    "write that it is restored": _write_restored,
}
"""What happens at each place of a restore."""
