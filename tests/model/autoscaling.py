"""What a recovery does to the autoscaler of its workers, in the order of `recovery/autoscaling.py`.

It stands for KEDA: while it is not paused, it scales workers up from 0 when messages wait. Only where a state has one.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model import finish
from tests.model.state import NO_RECOVERY, State, Status
from tests.model.view import Outcome, View


def recorded(view: View, status: Status) -> Status:
    """Return the status with the autoscaler that is to be paused, and with the recovery that has paused it before."""
    paused = view.state.paused
    theirs = paused if paused not in {NO_RECOVERY, view.recovery} else status.paused_before
    return status._replace(pauses=view.state.autoscales, paused_before=theirs)


def is_anothers(view: View) -> bool:
    """Tell whether a recovery has paused the autoscaler that exists and has not ended."""
    return view.state.paused not in {NO_RECOVERY, view.recovery} and not view.may_take_over(view.state.paused)


def _look(view: View) -> Outcome:
    if is_anothers(view):
        return None
    status = recorded(view, view.status)
    if status != view.status and view.has("pause: recorded before it is written"):
        return view.save(status)
    if view.state.paused == view.recovery:
        return view.stay(view.process._replace(at="confirm"))
    return view.stay(view.process._replace(at="confirm before the pause", unpaused=True))


def _confirm(view: View) -> Outcome:
    return view.stay(view.process._replace(at="pause")) if view.is_confirmed else view.begun_again()


def _pause(view: View) -> Outcome:
    if not view.process.unpaused and view.has("pause: only as it was seen"):
        return view.go("open")
    if view.state.denied:
        return view.go("open", finish.restored(view))
    process = view.process._replace(at="scale", unpaused=False)
    return view.stay(process, view.state.with_pause(view.recovery))


def unpaused(view: View) -> State:
    """Return the state after the autoscaler was unpaused, if the status says that this recovery pauses it."""
    state, status = view.state, view.status
    if not status.pauses or state.denied:
        return state  # a late pause is denied as well
    if state.paused != NO_RECOVERY and state.paused in {view.recovery, status.paused_before}:
        return state.with_pause(NO_RECOVERY)
    fences = view.has("unpause: moves the version on without a pause too")
    return state.with_pause(state.paused) if fences else state


def _unpause(view: View) -> Outcome:
    if view.state.denied and view.state.paused == view.recovery:
        return None  # until the deadline
    return view.go("wait for the rollout", unpaused(view))


def _unpause_at_the_end(view: View) -> Outcome:
    if view.state.denied and not view.has("end: does not wait for an autoscaler that may not be changed"):
        return None
    return view.go("close", unpaused(view))


def _unpause_theirs(view: View) -> Outcome:
    """Unpause it for a recovery that is gone, whose pause says whose it is."""
    state = view.state
    if state.paused == state.lock and state.lock != view.recovery:
        state = state.with_pause(NO_RECOVERY)
    at = "settle theirs" if view.process.todo else "release theirs"
    return view.stay(view.process._replace(at=at), state)


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "look at the autoscaler": _look,
    "confirm before the pause": _confirm,
    "pause": _pause,
    "unpause": _unpause,
    "unpause at the end": _unpause_at_the_end,
    "unpause theirs": _unpause_theirs,
}
"""What happens at each place where the autoscaler matters."""
