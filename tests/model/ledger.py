"""The entry of the ledger, effect by effect, in the order of `recovery/ledger.py`; only where a recovery has a copy.

A write of the entry tests what was read of it, so reading and writing it are one action.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model.state import NO_RECOVERY, Entry
from tests.model.view import Outcome, View


def _begin(view: View) -> Outcome:
    """Write the entry before the first effect, or end as a copy, which finishes what the one before it has left."""
    entry = view.state.entry
    if _is_anothers(view) and entry.executed and view.has("ledger: a copy of what was executed does not begin"):
        if view.state.note == entry.recovery and view.has("ledger: such a copy finishes what was left"):
            return view.go("begin the entry", view.state.scaled(replicas=1, note=NO_RECOVERY))
        return view.save(view.status._replace(ending="Already executed"))
    at = "add the finalizer" if view.has("finalizer: before the intent") else "write the intent"
    state = view.state if entry.recovery == view.recovery else view.state._replace(entry=Entry(view.recovery))
    return view.go(at, state)


def _mark(view: View) -> Outcome:
    """Mark the entry as executed; one that is the copy's by now tells that this recovery is gone."""
    if not view.has("ledger: marked before anything is taken or claimed"):
        return view.go(view.first)
    if _is_anothers(view) and view.is_gone:
        return view.gone()
    if _is_anothers(view) and view.state.entry.executed:
        return view.save(view.status._replace(ending="Already executed"))
    return view.go(view.first, view.state._replace(entry=Entry(view.recovery, executed=True)))


def _record(view: View) -> Outcome:
    """Write the outcome, or remove the entry if nothing was taken and nothing enqueued."""
    finish, run = view.process._replace(at="finish"), view.run
    if _is_anothers(view):
        return view.stay(finish)
    done = run.taken or run.moved or run.markers or view.process.doubtful or view.status.ending == "Succeeded"
    if done and view.has("ledger: removed only if nothing was done"):
        return view.stay(finish, view.state._replace(entry=Entry(view.recovery, executed=True)))
    return view.stay(finish, view.state._replace(entry=Entry()))


def _is_anothers(view: View) -> bool:
    return view.state.entry.recovery not in {NO_RECOVERY, view.recovery}


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "begin the entry": _begin,
    "mark the entry": _mark,
    "record the outcome": _record,
}
"""What happens at each place of a write to the ledger."""
