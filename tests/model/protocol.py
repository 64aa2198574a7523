"""The steps of a recovery, effect by effect, in the order of `recovery/` and of the broker's scripts.

An effect is atomic; between two of them the process may be held up for as long as others need to do anything.
"""

from collections.abc import Callable, Mapping
from typing import Final

from tests.model import autoscaling, finish, ledger, redelivery, restarting, restore, sorting, takeover, taking
from tests.model.state import NO_RECOVERY, Claimed, Job, Step, added, put
from tests.model.view import Outcome, View

NEEDS_BROKER: Final = frozenset(
    {"lock", "open", "freeze", "prepare", "push", "close", "give back", "close for good", "release"}
    | {"close theirs", "give theirs back", "close theirs for good", "release theirs"}
    | {"begin to take", "scan", "move unacked", "pass the boundary", "scan once more", "move unacked again", "complete"}
    | {"look what to sort", "sort", "bring back"}
    | {"look what to sort at the end", "sort at the end", "bring back at the end"}
    | {"look what to put back", "put back unacked", "stage"}
    | {"read unacked", "give back what is stranded"}
)
"""Places where a process waits while the broker is away."""


def _read(view: View) -> Outcome:
    status = view.state.statuses[view.recovery]
    if view.is_gone:
        return view.go("done")
    if view.state.finalizers[view.recovery] and status.step == "planned" and not status.over:
        # An earlier process died after it had added it.
        return view.stay(view.process._replace(at="remove the finalizer", status=status))
    cancelled = view.state.cancelled and view.recovery == 0 and not status.ending and not status.over
    at = "end as cancelled" if cancelled else view.next(status)
    return view.stay(view.process._replace(at=at, status=status))


def _lock(view: View) -> Outcome:
    state, free = view.state, {NO_RECOVERY, view.recovery}
    if state.is_copy and view.recovery == 0 and state.vanished != len(state.statuses) - 1:
        return None  # names are unique
    if state.lock not in free:
        return view.go("close theirs") if view.may_take_over(state.lock) else None
    if not view.stops_none and state.note not in free and not view.may_take_over(state.note):
        return None
    if not view.stops_none and autoscaling.is_anothers(view):
        return None
    begins = "add the finalizer" if view.has("finalizer: before the intent") else "write the intent"
    begins = "begin the entry" if state.is_copy else begins
    return view.go("end with nothing to do" if redelivery.finds_nothing(view) else begins)


def _add_finalizer(view: View) -> Outcome:
    if view.is_gone:
        return view.gone()
    if view.state.statuses[view.recovery] != view.status or view.takes_no_finalizer:
        return view.read_again()
    return view.go("write the intent", view.state.with_finalizer(view.recovery, there=True))


def _write_intent(view: View) -> Outcome:
    state, status = view.state, view.status._replace(step="draining")
    if not state.finalizers[view.recovery] and not view.is_gone and view.has("finalizer: before the intent"):
        return view.go("add the finalizer")
    if state.note not in {NO_RECOVERY, view.recovery} and not view.stops_none:
        recorded = 1 if view.has("take over: with the recorded replicas") else state.replicas
        noted = state.note if view.has("take over: recorded for the ending") else NO_RECOVERY
        status = status._replace(replicas=recorded, taken_over=noted)
    if not view.stops_none and view.has("pause: recorded before it is written"):
        status = autoscaling.recorded(view, status)
    return view.save(status)


def _remove_finalizer(view: View) -> Outcome:
    if view.is_gone:
        return view.go("done")
    guarded = view.has("finalizer: removed only while it is not needed")
    if (view.state.statuses[view.recovery] if guarded else view.status).touched:
        return view.read_again()
    state = view.state.with_finalizer(view.recovery, there=False)
    return view.go("done" if view.status.over else "read the status", state)


def _open(view: View) -> Outcome:
    state, run = view.state, view.run
    if run.state in {"closing", "closed"} or (state.lock == view.recovery and run.state == "absent"):
        return view.go("end as failed")
    if state.lock not in {NO_RECOVERY, view.recovery} and view.has("open: only while the lock is free"):
        return view.go("close theirs") if view.may_take_over(state.lock) else None
    if run.state == "absent":
        state = state.with_run(view.recovery, run._replace(state="preparing"))
    then = "look what to put back" if view.restores else "look at the jobs" if view.stops_none else "look"
    return view.go(then, state._replace(lock=view.recovery))


def _look(view: View) -> Outcome:
    state = view.state
    if state.note not in {NO_RECOVERY, view.recovery} and not view.may_take_over(state.note):
        return view.go("open", finish.restored(view))
    if state.note == view.recovery and state.replicas == 0:
        return view.go("wait for the last pod")
    at = "confirm" if view.has("scale: only while the status is unchanged") else "scale"
    if state.autoscales and view.has("pause: before the workers are scaled"):
        at = "look at the autoscaler"
    return view.stay(view.process._replace(at=at, fresh=True))


def _confirm(view: View) -> Outcome:
    return view.stay(view.process._replace(at="scale")) if view.is_confirmed else view.begun_again()


def _scale(view: View) -> Outcome:
    if not view.process.fresh and view.has("scale: only as it was seen"):
        return view.go("open")
    return view.go("wait for the last pod", view.state.scaled(0, view.recovery))


def _wait(view: View) -> Outcome:
    if view.state.replicas:
        return view.go("open")
    if view.state.pods:
        return None
    has_grace = view.state.unseen and view.has("drain: a pod that was not seen to end has its grace period")
    if has_grace and not view.state.grace_over:
        return None
    return view.stay(view.process._replace(at="look at the jobs", held=True))


def _look_at_jobs(view: View) -> Outcome:
    looks = tuple(Claimed(job.status, job.task) for job in view.state.jobs)
    return view.stay(view.process._replace(at="freeze", looks=looks))


def _freeze(view: View) -> Outcome:
    if not view.is_open:
        return view.go("end as failed")
    run = view.run._replace(seen=view.run.seen or view.process.looks)
    process = view.process._replace(at="write that it is drained", looks=())
    return view.stay(process, view.state.with_run(view.recovery, run))


def _write_drained(view: View) -> Outcome:
    return view.save(view.status._replace(step="drained", held=view.process.held))


def _write_purged(view: View) -> Outcome:
    return view.save(view.status._replace(step="purged", held=False))


def _write_taken_none(view: View) -> Outcome:
    step: Step = "purged" if view.recovery in view.state.restarts else "restarted"
    return view.save(view.status._replace(step=step, held=False))


def _write_draining_again(view: View) -> Outcome:
    return view.save(view.status._replace(step="draining", held=False, attempt=view.status.attempt + 1))


def _restore(view: View) -> Outcome:
    return view.go("unpause" if view.state.autoscales else "wait for the rollout", finish.restored(view))


def _rollout(view: View) -> Outcome:
    if view.state.pods != view.state.replicas:
        return None
    return view.save(view.status._replace(step="restarted"))


def _prepare(view: View) -> Outcome:
    if not view.is_open:
        return view.go("end as failed")
    todo = tuple(
        number
        for number, seen in enumerate(view.run.seen)
        if number not in view.run.markers and seen.status == "failed"
    )
    at = "claim" if view.has("claim: before the push") else "push"
    return view.stay(view.process._replace(at=at if todo else "write the jobs", todo=todo))


def _claim(view: View) -> Outcome:
    state, (number, *rest), ours = view.state, view.process.todo, view.process.ours
    job, seen = state.jobs[number], view.run.seen[number]
    may = (
        (job.stamps[view.recovery] == "none" or not view.has("claim: never over a stamp"))
        and (job.status == seen.status or not view.has("claim: with the status as seen"))
        and (job.task == seen.task or not view.has("claim: with the task id as seen"))
    )
    if may:
        stamps = put(job.stamps, view.recovery, Claimed(job.status, job.task))
        state = state.with_job(number, Job("pending", view.task(number).task, stamps))
    if isinstance(state.jobs[number].stamps[view.recovery], Claimed):
        ours = (*ours, number)
    at = "claim" if rest else "write the jobs"
    if ours and view.has("claim: before the push") and (view.one_by_one or not rest):
        at = "push"
    return view.stay(view.process._replace(at=at, todo=tuple(rest), ours=ours), state)


def _push(view: View) -> Outcome:
    state, run, process = view.state, view.run, view.process
    if view.has("push: only while the run is open"):
        if run.state == "preparing":
            return view.read_again()
        if run.state != "purged":
            return view.go("end as failed")
    for number in process.ours if view.has("claim: before the push") else process.todo:
        if number not in run.markers or not view.has("push: only without a marker"):
            message = view.task(number)
            run = run._replace(markers=(*run.markers, number))
            state = state._replace(queue=added(state.queue, message), sent=added(state.sent, message))
    at = "claim" if process.todo else "write the jobs"
    return view.stay(process._replace(at=at, ours=()), state.with_run(view.recovery, run))


def _write_jobs(view: View) -> Outcome:
    return view.save(view.status._replace(step="reenqueued", ending="Succeeded"))


EFFECTS: Final[Mapping[str, Callable[[View], Outcome]]] = {
    "read the status": _read,
    "end as cancelled": finish.cancelled,
    "end as failed": finish.failed,
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
    "write that it is purged": _write_purged,
    "write that nothing is taken": _write_taken_none,
    "write that it drains again": _write_draining_again,
    "restore": _restore,
    "wait for the rollout": _rollout,
    "prepare": _prepare,
    "claim": _claim,
    "push": _push,
    "write the jobs": _write_jobs,
    **taking.EFFECTS,
    **sorting.EFFECTS,
    **restarting.EFFECTS,
    **redelivery.EFFECTS,
    **restore.EFFECTS,
    **takeover.EFFECTS,
    **autoscaling.EFFECTS,
    **finish.EFFECTS,
    **ledger.EFFECTS,
}
"""What happens at each place that a process can be at."""
