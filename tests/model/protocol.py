"""The steps of a recovery, effect by effect, in the order of `recovery/` and of the broker's scripts.

An effect is atomic; between two of them the process may be held up for as long as others need to do anything.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model import ending, takeover
from tests.model.turn import Outcome, Turn
from tests.model.world import NOBODY, Claimed, Job, Message, added, put, removed

NEEDS_BROKER: Final = frozenset(
    {"lock", "open", "freeze", "prepare", "push", "close", "give back", "close for good", "release"}
    | {"close theirs", "give theirs back", "release theirs"}
    | {"begin to take", "scan", "bite", "pass the boundary", "scan once more", "bite once more", "complete"}
)
"""Places where a process waits while the broker is away."""


def _read(turn: Turn) -> Outcome:
    status = turn.world.statuses[turn.recovery]
    if turn.is_gone:
        return turn.go("done")
    if turn.world.finalizers[turn.recovery] and status.step == "planned" and not status.over:
        # An earlier process died after it had added it.
        return turn.stay(turn.process._replace(at="remove the finalizer", status=status))
    cancelled = turn.world.cancelled and turn.recovery == 0 and not status.ending and not status.over
    at = "end as cancelled" if cancelled else turn.next(status)
    return turn.stay(turn.process._replace(at=at, status=status))


def _lock(turn: Turn) -> Outcome:
    world, free = turn.world, {NOBODY, turn.recovery}
    if world.lock not in free:
        return turn.go("close theirs") if turn.may_take_over(world.lock) else None
    if not turn.stops_none and world.note not in free and not turn.may_take_over(world.note):
        return None
    return turn.go("add the finalizer" if turn.has("finalizer: before the intent") else "write the intent")


def _add_finalizer(turn: Turn) -> Outcome:
    if turn.is_gone:
        return turn.gone()
    if turn.world.statuses[turn.recovery] != turn.status or turn.takes_no_finalizer:
        return turn.read_again()
    return turn.go("write the intent", turn.world.with_finalizer(turn.recovery, there=True))


def _write_intent(turn: Turn) -> Outcome:
    world, status = turn.world, turn.status._replace(step="draining")
    if not world.finalizers[turn.recovery] and not turn.is_gone and turn.has("finalizer: before the intent"):
        return turn.go("add the finalizer")
    if world.note not in {NOBODY, turn.recovery} and not turn.stops_none:
        recorded = 1 if turn.has("take over: with the recorded replicas") else world.replicas
        noted = world.note if turn.has("take over: noted for the ending") else NOBODY
        status = status._replace(replicas=recorded, taken_over=noted)
    return turn.save(status)


def _remove_finalizer(turn: Turn) -> Outcome:
    if turn.is_gone:
        return turn.go("done")
    guarded = turn.has("finalizer: removed only while it is not needed")
    if (turn.world.statuses[turn.recovery] if guarded else turn.status).touched:
        return turn.read_again()
    world = turn.world.with_finalizer(turn.recovery, there=False)
    return turn.go("done" if turn.status.over else "read the status", world)


def _open(turn: Turn) -> Outcome:
    world, run = turn.world, turn.run
    if run.state in {"closing", "closed"} or (world.lock == turn.recovery and run.state == "absent"):
        return turn.go("end as failed")
    if world.lock not in {NOBODY, turn.recovery} and turn.has("open: only while the lock is free"):
        return turn.go("close theirs") if turn.may_take_over(world.lock) else None
    if run.state == "absent":
        world = world.with_run(turn.recovery, run._replace(state="preparing"))
    return turn.go("look at the jobs" if turn.stops_none else "look", world._replace(lock=turn.recovery))


def _look(turn: Turn) -> Outcome:
    world = turn.world
    if world.note not in {NOBODY, turn.recovery} and not turn.may_take_over(world.note):
        return turn.go("open", ending.restored(turn))
    if world.note == turn.recovery and world.replicas == 0:
        return turn.go("wait for the last pod")
    confirms = turn.has("scale: only while the status stands")
    return turn.stay(turn.process._replace(at="confirm" if confirms else "scale", fresh=True))


def _confirm(turn: Turn) -> Outcome:
    if turn.is_gone:
        return turn.gone()
    if turn.world.statuses[turn.recovery] != turn.status:
        return turn.read_again()
    return turn.stay(turn.process._replace(at="scale"))


def _scale(turn: Turn) -> Outcome:
    if not turn.process.fresh and turn.has("scale: only as it was seen"):
        return turn.go("open")
    return turn.go("wait for the last pod", turn.world.scaled(0, turn.recovery))


def _wait(turn: Turn) -> Outcome:
    if turn.world.replicas:
        return turn.go("open")
    if turn.world.pods:
        return None
    return turn.stay(turn.process._replace(at="look at the jobs", held=True))


def _look_at_jobs(turn: Turn) -> Outcome:
    looks = tuple(Claimed(job.status, job.task) for job in turn.world.jobs)
    return turn.stay(turn.process._replace(at="freeze", looks=looks))


def _freeze(turn: Turn) -> Outcome:
    if not turn.is_open:
        return turn.go("end as failed")
    run = turn.run._replace(seen=turn.run.seen or turn.process.looks)
    process = turn.process._replace(at="write that it is drained", looks=())
    return turn.stay(process, turn.world.with_run(turn.recovery, run))


def _write_drained(turn: Turn) -> Outcome:
    return turn.save(turn.status._replace(step="drained", held=turn.process.held))


def _begin_to_take(turn: Turn) -> Outcome:
    run, sweep = turn.run, turn.status.sweep
    if not turn.is_open:
        return turn.go("end as failed")
    if turn.stops_none:
        world = turn.world.with_run(turn.recovery, run._replace(state="purged"))
        return turn.go("write that nothing is taken", world)
    if run.complete >= sweep:
        return turn.go("look again")
    if run.sweep >= sweep:
        return turn.go("scan once more")
    return turn.go("scan" if turn.has("take: unacked before the lists") else "pass the boundary")


def _taken_of(turn: Turn, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Return the messages that are taken: all but those of jobs that are skipped because of what was frozen."""
    if not turn.has("take: leaves the messages of skipped jobs"):
        return messages
    left = {Message(seen.task, number) for number, seen in enumerate(turn.run.seen) if seen.status != "failed"}
    return tuple(message for message in messages if message not in left)


def _scan(turn: Turn) -> Outcome:
    tags = _taken_of(turn, turn.world.unacked)
    at = "bite" if tags else "pass the boundary"
    return turn.stay(turn.process._replace(at=at, tags=tags))


def _scan_once_more(turn: Turn) -> Outcome:
    tags = _taken_of(turn, turn.world.unacked)
    return turn.stay(turn.process._replace(at="bite once more" if tags else "complete", tags=tags))


def _bite(turn: Turn) -> Outcome:
    world, run, sweep = turn.world, turn.run, turn.status.sweep
    found = [tag for tag in turn.process.tags if tag in world.unacked]
    goes_on = (
        "begin to take" if turn.has("take: goes on to the end of a sweep that consumers disturb") else "give it up"
    )
    then = "scan" if turn.process.at == "bite" else goes_on
    if not turn.is_open:
        return turn.go("end as failed")
    if run.complete >= sweep and turn.has("take: refused once complete"):
        return turn.go(then)
    if run.markers:
        return turn.read_again()
    if any(tag in run.bitten for tag in found):
        return turn.go("begin to take")
    for tag in found:
        world = world._replace(unacked=removed(world.unacked, tag))
    run = run._replace(bitten=added(run.bitten, *found)) if sweep == 1 else run._replace(taken=added(run.taken, *found))
    return turn.go(then, world.with_run(turn.recovery, run))


def _boundary(turn: Turn) -> Outcome:
    world, run, sweep = turn.world, turn.run, turn.status.sweep
    if not turn.is_open:
        return turn.go("end as failed")
    if run.sweep >= sweep:
        return turn.go("scan once more")
    if run.markers or run.sweep != sweep - 1:
        return turn.read_again()
    taken = _taken_of(turn, world.queue)
    left = tuple(message for message in world.queue if message not in taken)
    run = run._replace(state="purged", sweep=sweep, taken=added(run.taken, *taken))
    return turn.go("scan once more", world._replace(queue=left).with_run(turn.recovery, run))


def _complete(turn: Turn) -> Outcome:
    run, sweep = turn.run, turn.status.sweep
    if not turn.is_open:
        return turn.go("end as failed")
    if run.sweep < sweep:
        return turn.read_again()
    return turn.go("look again", turn.world.with_run(turn.recovery, run._replace(complete=max(run.complete, sweep))))


def _give_up(turn: Turn) -> Outcome:
    if _drain_held(turn):
        return turn.go("begin to take")
    return turn.save(turn.status._replace(step="draining", held=False))


def _look_again(turn: Turn) -> Outcome:
    return turn.go("write that it is purged" if _drain_held(turn) else "write that it drains again")


def _drain_held(turn: Turn) -> bool:
    noted = turn.status.held or not turn.has("drain: the generation is noted")
    return noted and not turn.world.replicas and not turn.world.pods


def _write_purged(turn: Turn) -> Outcome:
    return turn.save(turn.status._replace(step="purged", held=False))


def _write_taken_none(turn: Turn) -> Outcome:
    return turn.save(turn.status._replace(step="restarted", held=False))


def _write_draining_again(turn: Turn) -> Outcome:
    return turn.save(turn.status._replace(step="draining", held=False, sweep=turn.status.sweep + 1))


def _restore(turn: Turn) -> Outcome:
    return turn.go("wait for the rollout", ending.restored(turn))


def _rollout(turn: Turn) -> Outcome:
    if turn.world.pods != turn.world.replicas:
        return None
    return turn.save(turn.status._replace(step="restarted"))


def _prepare(turn: Turn) -> Outcome:
    if not turn.is_open:
        return turn.go("end as failed")
    todo = tuple(
        number
        for number, seen in enumerate(turn.run.seen)
        if number not in turn.run.markers and seen.status == "failed"
    )
    at = "claim" if turn.has("claim: before the push") else "push"
    return turn.stay(turn.process._replace(at=at if todo else "write the jobs", todo=todo))


def _claim(turn: Turn) -> Outcome:
    world, (number, *rest), ours = turn.world, turn.process.todo, turn.process.ours
    job, seen = world.jobs[number], turn.run.seen[number]
    may = (
        (job.stamps[turn.recovery] == "none" or not turn.has("claim: never over a stamp"))
        and (job.status == seen.status or not turn.has("claim: with the status as seen"))
        and (job.task == seen.task or not turn.has("claim: with the task id as seen"))
    )
    if may:
        stamps = put(job.stamps, turn.recovery, Claimed(job.status, job.task))
        world = world.with_job(number, Job("pending", turn.task(number).task, stamps))
    if isinstance(world.jobs[number].stamps[turn.recovery], Claimed):
        ours = (*ours, number)
    at = "claim" if rest else "write the jobs"
    if ours and turn.has("claim: before the push") and (turn.one_by_one or not rest):
        at = "push"
    return turn.stay(turn.process._replace(at=at, todo=tuple(rest), ours=ours), world)


def _push(turn: Turn) -> Outcome:
    world, run, process = turn.world, turn.run, turn.process
    if turn.has("push: only while the run is open"):
        if run.state == "preparing":
            return turn.read_again()
        if run.state != "purged":
            return turn.go("end as failed")
    for number in process.ours if turn.has("claim: before the push") else process.todo:
        if number not in run.markers or not turn.has("push: only without a marker"):
            message = turn.task(number)
            run = run._replace(markers=(*run.markers, number))
            world = world._replace(queue=added(world.queue, message), sent=added(world.sent, message))
    at = "claim" if process.todo else "write the jobs"
    return turn.stay(process._replace(at=at, ours=()), world.with_run(turn.recovery, run))


def _write_jobs(turn: Turn) -> Outcome:
    return turn.save(turn.status._replace(step="reenqueued", ending="Succeeded"))


EFFECTS: Final[Mapping[str, Callable[[Turn], Outcome]]] = {
    "read the status": _read,
    "end as cancelled": ending.cancelled,
    "end as failed": ending.failed,
    "lock": _lock,
    "add the finalizer": _add_finalizer,
    "write the intent": _write_intent,
    "remove the finalizer": _remove_finalizer,
    "open": _open,
    "look": _look,
    "confirm": _confirm,
    "scale": _scale,
    "wait for the last pod": _wait,
    "look at the jobs": _look_at_jobs,
    "freeze": _freeze,
    "write that it is drained": _write_drained,
    "begin to take": _begin_to_take,
    "scan": _scan,
    "bite": _bite,
    "pass the boundary": _boundary,
    "scan once more": _scan_once_more,
    "bite once more": _bite,
    "give it up": _give_up,
    "complete": _complete,
    "look again": _look_again,
    "write that it is purged": _write_purged,
    "write that nothing is taken": _write_taken_none,
    "write that it drains again": _write_draining_again,
    "restore": _restore,
    "wait for the rollout": _rollout,
    "prepare": _prepare,
    "claim": _claim,
    "push": _push,
    "write the jobs": _write_jobs,
    **takeover.EFFECTS,
    **ending.EFFECTS,
}
"""What happens at each place where a process can stand."""
