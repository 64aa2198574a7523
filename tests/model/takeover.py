"""What a recovery does to the lock of one that is gone, effect by effect, in the order of `recovery/takeover.py`.

The holder is read from the lock at each effect; once it is somebody else's there is nothing left to end.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model import ending
from tests.model.turn import Outcome, Turn
from tests.model.world import NOBODY, Process


def _close(turn: Turn) -> Outcome:
    theirs = _theirs(turn)
    if theirs is None:
        return turn.go("lock", None) if turn.status.step == "planned" else turn.go("open")
    if not turn.has("take over: closes the run"):
        return turn.go("release theirs")
    run = ending.closing(theirs)
    world = turn.world.with_run(theirs.recovery, run)
    if run.state == "closing":
        return turn.go("give theirs back", world)
    return _closed(turn._replace(world=world))


def _give_back(turn: Turn) -> Outcome:
    theirs = _theirs(turn)
    if theirs is None:
        return turn.go("close theirs")
    world = ending.given_back(theirs)
    run = world.runs[theirs.recovery]._replace(state="closed")
    return _closed(turn._replace(world=world.with_run(theirs.recovery, run)))


def _closed(turn: Turn) -> Outcome:
    run = turn.world.runs[turn.world.lock]
    todo = tuple(number for number in range(len(turn.world.jobs)) if number not in run.markers and run.seen)
    if not run.was_purged or not turn.has("take over: settles what was not pushed"):
        todo = ()
    process = turn.process._replace(at="settle theirs" if todo else "release theirs", todo=todo)
    if turn.stops_none and turn.has("take over: brings the workers back where it stops none"):
        process = process._replace(at="scale theirs back")
    return turn.stay(process)


def _scale_back(turn: Turn) -> Outcome:
    theirs = _theirs(turn)
    if theirs is None:
        return turn.go("close theirs")
    at = "settle theirs" if turn.process.todo else "release theirs"
    return turn.stay(turn.process._replace(at=at), ending.restored(theirs))  # a status begins with what each note says


def _settle(turn: Turn) -> Outcome:
    theirs = _theirs(turn)
    if theirs is None:
        return turn.go("close theirs")
    number, *rest = turn.process.todo
    world = turn.world.with_job(number, ending.settled(theirs, number))
    return turn.stay(turn.process._replace(at="settle theirs" if rest else "release theirs", todo=tuple(rest)), world)


def _release(turn: Turn) -> Outcome:
    theirs = _theirs(turn)
    return turn.go("close theirs", turn.world if theirs is None else turn.world._replace(lock=NOBODY))


def _theirs(turn: Turn) -> Turn | None:
    """Return the turn that the holder of the lock would have, or None when it is free or one's own by now."""
    holder = turn.world.lock
    if holder in {NOBODY, turn.recovery} or not turn.may_take_over(holder):
        return None
    return turn._replace(process=Process(holder))


EFFECTS: Final[Mapping[str, Callable[[Turn], Outcome]]] = {
    "close theirs": _close,
    "give theirs back": _give_back,
    "scale theirs back": _scale_back,
    "settle theirs": _settle,
    "release theirs": _release,
}
"""What happens at each place of taking over."""
