"""Restarting the worker of a recovery that takes no message, in the order of `recovery/rollout_restart.py`."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model.state import NO_RECOVERY
from tests.model.view import Outcome, View


def _look(view: View) -> Outcome:
    state = view.state
    if state.note not in {NO_RECOVERY, view.recovery}:
        return None
    done = view.recovery in state.restarted and view.has("restart: with one time for all of its processes")
    if done or state.is_new:
        return view.go("wait for the rollout")
    return view.stay(view.process._replace(at="confirm before the restart", fresh=True))


def _confirm(view: View) -> Outcome:
    is_checked = view.has("restart: only while the status is unchanged")
    return view.stay(view.process._replace(at="restart")) if view.is_confirmed or not is_checked else view.begun_again()


def _restart(view: View) -> Outcome:
    """Replace the pod, which is killed over what it holds, in the worst case."""
    if not view.process.fresh and view.has("restart: only as it was seen"):
        return view.go("look before the restart")
    state = view.state.scaled(view.state.replicas, view.state.note)
    is_late = view.is_gone or view.state.statuses[view.recovery].over
    return view.go(
        "wait for the rollout",
        state._replace(
            pods=0,
            hands=(),
            restarted=tuple(sorted((*state.restarted, view.recovery))),
            restarted_late=state.restarted_late or is_late,
        ),
    )


def _refuse(view: View) -> Outcome:
    return view.go("close", view.state.touched())


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "look before the restart": _look,
    "confirm before the restart": _confirm,
    "restart": _restart,
    "refuse late restarts": _refuse,
}
"""What happens at each place of a restart, but for its writes of the status."""
