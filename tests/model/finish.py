"""The ending of a recovery, effect by effect, in the order of `recovery/ending.py`."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model.state import NO_RECOVERY, Claimed, Job, Run, State, added, forgotten, put
from tests.model.view import Outcome, View


def restored(view: View) -> State:
    """Return the state after the workers were brought back, if the note on them is this recovery's.

    One effect, although it is a read and a write: the write is tried until nothing has come between them.
    """
    state, status = view.state, view.status
    if state.note != NO_RECOVERY and state.note in {view.recovery, status.taken_over}:
        return state.scaled(replicas=status.replicas, note=NO_RECOVERY)
    return state.touched() if view.has("restore: moves the version on without a note too") else state


def cancelled(view: View) -> Outcome:
    """Bind the recovery to end as the user asks."""
    return view.save(view.status._replace(ending="Cancelled", held=False))


def failed(view: View) -> Outcome:
    """Bind the recovery to end because a store has refused it for good."""
    return view.save(view.status._replace(ending="Failed", held=False))


def _refuse_late_takers(view: View) -> Outcome:
    """Stop what others may still take, if the broker answers; one that is away holds nothing up."""
    if view.state.broker_away or not view.has("end: refuses late takers before the workers come back"):
        return view.go("bring the workers back")
    return view.go("bring the workers back", view.state.with_run(view.recovery, closing(view)))


def _bring_back(view: View) -> Outcome:
    state = view.state if view.stops_none else restored(view)
    if view.has("end: workers before the final status"):
        return view.go("unpause at the end" if state.autoscales and not view.stops_none else "close", state)
    return view.stay(view.process._replace(at="finish"), state)


def _close(view: View) -> Outcome:
    run = closing(view)
    state = view.state.with_run(view.recovery, run)
    if run.state == "closing":
        return view.go("give back", state)
    if run.state == "purged" and run.sorting:
        return view.go("look what to sort at the end", state)
    return _booked(view, state)


def _give_back(view: View) -> Outcome:
    return view.go("close for good", given_back(view))


def given_back(view: View) -> State:
    """Return the state with the entries of a closing run back in `unacked`, but for those whose place is taken."""
    state, run = view.state, view.run
    if run.state == "closing":
        back = [message for message in run.moved if message not in state.unacked]
        left = tuple(message for message in run.moved if message in state.unacked)
        state = state._replace(unacked=added(state.unacked, *back))
        state = state.with_run(view.recovery, run._replace(moved=left))
    return state


def _close_for_good(view: View) -> Outcome:
    return _booked(view, view.state.with_run(view.recovery, view.run._replace(state="closed")))


def _settle(view: View) -> Outcome:
    number, *rest = view.process.todo
    process = view.process._replace(at="settle" if rest else "release", todo=tuple(rest))
    return view.stay(process, view.state.with_job(number, settled(view, number)))


def settled(view: View, number: int) -> Job:
    """Return a job's document after it was stamped as released and, if it was claimed, given back."""
    job = view.state.jobs[number]
    stamp = job.stamps[view.recovery]
    keeps = view.has("end: keeps the stamp of what it gives back")
    if isinstance(stamp, Claimed):
        if (job.status, job.task) == ("pending", view.task(number).task):
            job = job._replace(status=stamp.status, task=stamp.task)
        return job._replace(stamps=put(job.stamps, view.recovery, "released" if keeps else "none"))
    if view.has("end: stamps what was never claimed"):
        return job._replace(stamps=put(job.stamps, view.recovery, "released"))
    return job


def _release(view: View) -> Outcome:
    state = view.state
    if not view.has("end: keeps the run"):
        state = state.with_run(view.recovery, forgotten(view.run))
    if state.lock == view.recovery:
        state = state._replace(lock=NO_RECOVERY)
    last = "record the outcome" if state.is_copy else "finish"
    at = last if view.has("end: workers before the final status") else "bring the workers back"
    return view.stay(view.process._replace(at=at), state)


def _finish(view: View) -> Outcome:
    says = view.has("end: says which autoscaler may still be paused")
    still_paused = says and view.state.denied and view.state.paused == view.recovery
    status = view.status._replace(over=True, enqueued=view.process.booked, still_paused=still_paused)
    if view.process.doubtful:
        status = status._replace(ending="In doubt")
    elif view.run.lost and view.has("end: fails if it has written something off"):
        status = status._replace(ending="Failed")
    return view.save(status)


def closing(view: View) -> Run:
    """Return the record after `close.lua`, before anything was given back."""
    run = view.run
    if run.state == "closed" or not view.has("end: closes the run"):
        return run
    if run.state == "purged" and run.sorting and view.has("end: brings back what is sorted out"):
        return run._replace(complete=run.attempt)  # what is set aside may still come back, nothing more is taken
    if run.state == "purged":
        return run._replace(state="closed", was_purged=True)
    gives_back = run.state == "closing" or (run.state == "preparing" and run.moved)
    return run._replace(state="closing" if gives_back else "closed")


def _booked(view: View, state: State) -> Outcome:
    """Go on with what a closed run says: its markers are frozen."""
    run = state.runs[view.recovery]
    was_purged = run.was_purged or run.state == "purged"
    process = view.process._replace(booked=run.markers)
    if view.status.step in {"purged", "restarted", "redelivered", "reenqueued"} and not was_purged:
        at = "release" if view.has("end: releases the lock in doubt too") else "finish"
        return view.stay(process._replace(at=at, doubtful=True), state)
    left = tuple(number for number in range(len(state.jobs)) if number not in run.markers)
    if not was_purged or not view.has("end: settles what was not pushed"):
        left = ()
    return view.stay(process._replace(at="settle" if left else "release", todo=left), state)


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "refuse late takers": _refuse_late_takers,
    "bring the workers back": _bring_back,
    "close": _close,
    "give back": _give_back,
    "close for good": _close_for_good,
    "settle": _settle,
    "release": _release,
    "finish": _finish,
}
"""What happens at each place of an ending."""
