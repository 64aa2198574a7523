"""The ending of a recovery, effect by effect, in the order of `recovery/ending.py`."""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model.turn import Outcome, Turn
from tests.model.world import NOBODY, Claimed, Job, Run, World, added, forgotten, put


def restored(turn: Turn) -> World:
    """Return the world after the workers were brought back, if the note on them is this recovery's.

    One effect, although it is a read and a write: the write is tried until nothing has come between them.
    """
    world, status = turn.world, turn.status
    if world.note != NOBODY and world.note in {turn.recovery, status.taken_over}:
        return world.scaled(replicas=status.replicas, note=NOBODY)
    return world.touched() if turn.has("restore: moves the version on without a note too") else world


def cancelled(turn: Turn) -> Outcome:
    """Bind the recovery to end as the user asks."""
    return turn.save(turn.status._replace(ending="Cancelled", held=False))


def failed(turn: Turn) -> Outcome:
    """Bind the recovery to end because a store has refused it for good."""
    return turn.save(turn.status._replace(ending="Failed", held=False))


def _refuse_late_takers(turn: Turn) -> Outcome:
    """Stop what others may still take, if the broker answers; one that is away holds nothing up."""
    if turn.world.broker_away or not turn.has("end: refuses late takers before the workers come back"):
        return turn.go("bring the workers back")
    return turn.go("bring the workers back", turn.world.with_run(turn.recovery, closing(turn)))


def _bring_back(turn: Turn) -> Outcome:
    world = turn.world if turn.stops_none else restored(turn)
    if turn.has("end: workers before the books"):
        return turn.go("close", world)
    return turn.stay(turn.process._replace(at="finish"), world)


def _close(turn: Turn) -> Outcome:
    run = closing(turn)
    world = turn.world.with_run(turn.recovery, run)
    if run.state == "closing":
        return turn.go("give back", world)
    return _booked(turn, world)


def _give_back(turn: Turn) -> Outcome:
    return turn.go("close for good", given_back(turn))


def given_back(turn: Turn) -> World:
    """Return the world with the entries of a closing run back in `unacked`, but for those whose place is taken."""
    world, run = turn.world, turn.run
    if run.state == "closing":
        back = [message for message in run.bitten if message not in world.unacked]
        left = tuple(message for message in run.bitten if message in world.unacked)
        world = world._replace(unacked=added(world.unacked, *back))
        world = world.with_run(turn.recovery, run._replace(bitten=left))
    return world


def _close_for_good(turn: Turn) -> Outcome:
    return _booked(turn, turn.world.with_run(turn.recovery, turn.run._replace(state="closed")))


def _settle(turn: Turn) -> Outcome:
    number, *rest = turn.process.todo
    process = turn.process._replace(at="settle" if rest else "release", todo=tuple(rest))
    return turn.stay(process, turn.world.with_job(number, settled(turn, number)))


def settled(turn: Turn, number: int) -> Job:
    """Return a job's document after it was stamped as released and, if it was claimed, given back."""
    job = turn.world.jobs[number]
    stamp = job.stamps[turn.recovery]
    keeps = turn.has("end: keeps the stamp of what it gives back")
    if isinstance(stamp, Claimed):
        if (job.status, job.task) == ("pending", turn.task(number).task):
            job = job._replace(status=stamp.status, task=stamp.task)
        return job._replace(stamps=put(job.stamps, turn.recovery, "released" if keeps else "none"))
    if turn.has("end: stamps what was never claimed"):
        return job._replace(stamps=put(job.stamps, turn.recovery, "released"))
    return job


def _release(turn: Turn) -> Outcome:
    world = turn.world
    if not turn.has("end: keeps the run"):
        world = world.with_run(turn.recovery, forgotten(turn.run))
    if world.lock == turn.recovery:
        world = world._replace(lock=NOBODY)
    at = "finish" if turn.has("end: workers before the books") else "bring the workers back"
    return turn.stay(turn.process._replace(at=at), world)


def _finish(turn: Turn) -> Outcome:
    ending = "In doubt" if turn.process.doubtful else turn.status.ending
    return turn.save(turn.status._replace(over=True, ending=ending, enqueued=turn.process.booked))


def closing(turn: Turn) -> Run:
    """Return the record after `close.lua`, before anything was given back."""
    run = turn.run
    if run.state == "closed" or not turn.has("end: closes the run"):
        return run
    if run.state == "purged":
        return run._replace(state="closed", was_purged=True)
    gives_back = run.state == "closing" or (run.state == "preparing" and run.bitten)
    return run._replace(state="closing" if gives_back else "closed")


def _booked(turn: Turn, world: World) -> Outcome:
    """Go on with what a closed run says: its markers are frozen."""
    run = world.runs[turn.recovery]
    was_purged = run.was_purged or run.state == "purged"
    process = turn.process._replace(booked=run.markers)
    if turn.status.step in {"purged", "restarted", "reenqueued"} and not was_purged:
        at = "release" if turn.has("end: lets the lock go in doubt too") else "finish"
        return turn.stay(process._replace(at=at, doubtful=True), world)
    left = tuple(number for number in range(len(world.jobs)) if number not in run.markers)
    if not was_purged or not turn.has("end: settles what was not pushed"):
        left = ()
    return turn.stay(process._replace(at="settle" if left else "release", todo=left), world)


EFFECTS: Final[Mapping[str, Callable[[Turn], Outcome]]] = {
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
