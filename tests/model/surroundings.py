"""What others do: Kubernetes, the worker, other workers of the database, producers and the user."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from typing_extensions import override

from tests.model.state import NO_RECOVERY, OLD, Job, Message, Process, State, added, forgotten, removed
from tests.model.view import Part

_UNLISTED = 9
"""A job that no recovery lists."""


class Move(NamedTuple):
    """One thing that may happen next."""

    label: str
    state: State
    sure: bool = True
    """Whether it happens some time if nothing else does; a death or a cancel may stay away."""
    process: Process | None = None
    """Whose move it is, if an operator's."""

    @override
    def __str__(self) -> str:
        """Tell what happens."""
        if self.process is None:
            return self.label
        status = self.process.status
        return f"recovery {self.process.recovery}, known to be {status.ending or status.step}: {self.label}"


def moves(state: State, without: frozenset[Part] = frozenset()) -> Iterator[Move]:
    """Yield what others than operators may do next."""
    yield from _pod(state)
    yield from _worker(state)
    yield from _survivor(state)
    for message in sorted({*state.unacked} - {*state.hands}):
        restored = state._replace(unacked=removed(state.unacked, message), queue=added(state.queue, message))
        yield Move(f"another worker's restore sweep puts {message} back into the list", restored)
    yield from _chances(state)
    if state.evictions and not is_over(state):
        for torn in after_eviction(state._replace(evictions=0)):
            yield Move("the broker loses a list of the quarantine", torn, sure=False)
    if state.expirations and not is_over(state):
        yield _expiration(state._replace(expirations=0), guarded=_GUARD not in without)


def _pod(state: State) -> Iterator[Move]:
    if state.replicas and not state.pods:
        yield Move("a pod starts", state._replace(pods=1))
    if state.autoscales and state.paused == NO_RECOVERY and state.queue and not state.replicas:
        yield Move("the autoscaler scales the workers up", state.scaled(1, state.note))
    if state.pods and not state.replicas:
        ended = state._replace(pods=0, hands=())
        if not state.hands:
            yield Move("the pod ends", ended)
        else:
            yield Move("the pod is killed over its message", ended)
            yield Move("the pod ends and gives its message back", _given_back(ended, state.hands[0]))
        if state.vanishings:
            vanished = state._replace(vanishings=0, pods=0, survivor=True, unseen=True)
            yield Move("the pod is gone, and its process runs on", vanished, sure=False)


def _survivor(state: State) -> Iterator[Move]:
    """Yield what becomes of a process whose pod is gone: nobody sees its end."""
    ended = state._replace(survivor=False, hands=())
    if state.survivor:
        yield Move("the process ends whose pod is gone", ended)
    if state.unseen and not state.grace_over:
        state = state if state.outlives else ended
        yield Move("the grace period of the pod is over", state._replace(grace_over=True))


def _worker(state: State) -> Iterator[Move]:
    if not state.pods and not state.survivor:
        return
    if state.in_order:
        # It consumes what is first, and holds nothing.
        if state.queue:
            consumed = state._replace(queue=state.queue[1:], executed=added(state.executed, state.queue[0]))
            yield Move(f"the worker executes {state.queue[0]}", consumed)
        return
    if not state.hands:
        for message in sorted({*state.queue}):
            taken = state._replace(
                queue=removed(state.queue, message), unacked=added(state.unacked, message), hands=(message,)
            )
            yield Move(f"the worker takes {message}", _delivered_again(taken, message))
        return
    message = state.hands[0]
    free = state._replace(hands=())
    if state.crashes and not is_over(state):
        yield Move("the worker is killed, and started again", free._replace(crashes=state.crashes - 1), sure=False)
    if message.task == OLD and state.retries:
        yield Move(f"the worker fails and retries {message}", _given_back(free, message))
        return
    done = free._replace(unacked=removed(free.unacked, message), executed=added(free.executed, message))
    if message.job >= len(state.jobs):
        yield Move(f"the worker executes {message}", done)
        return
    job = state.jobs[message.job]
    yield Move(f"the worker executes {message}", done.with_job(message.job, job._replace(status="done")))
    yield Move(f"the worker fails at {message}", done.with_job(message.job, job._replace(status="failed")))


def _delivered_again(state: State, message: Message) -> State:
    """Return the state after a delivery: a process that has read an entry of that message has read another one."""
    if not state.redelivers:
        return state
    processes = tuple(
        one._replace(again=added(one.again, message)) if message in one.tags and message not in one.again else one
        for one in state.processes
    )
    return state._replace(processes=processes)


def _given_back(state: State, message: Message) -> State:
    """Return the state after an unacknowledged message went back to its list, if it was not taken meanwhile."""
    if message not in state.unacked:
        return state
    return state._replace(unacked=removed(state.unacked, message), queue=added(state.queue, message))


def _chances(state: State) -> Iterator[Move]:
    if is_over(state):
        return
    if state.cancels and not state.statuses[0].ending:
        # With the broker away for good, or where changes are denied, it is the deadline that comes, sooner or later.
        cancelled = state._replace(cancels=0, cancelled=True)
        yield Move("the user cancels the first recovery", cancelled, sure=state.broker_away or state.denied)
    if state.denials:
        yield Move("changes of the autoscaler are denied", state._replace(denials=0, denied=True), sure=False)
    yield from _removals(state)
    yield from _of_the_last(state)
    if state.outages:
        yield Move("the broker goes away for good", state._replace(outages=0, broker_away=True), sure=False)
    if state.producers:
        yield Move("a producer sends a message", _sent(state._replace(producers=0), "other", _UNLISTED), sure=False)
    if state.scalings and state.note != NO_RECOVERY:
        scaled = state.scaled(1 - state.replicas, state.note)._replace(scalings=state.scalings - 1)
        yield Move(f"somebody else scales to {scaled.replicas}", scaled, sure=False)
    if state.replacements and state.statuses[0].touched:
        replaced = state.scaled(1, NO_RECOVERY)._replace(replacements=0, is_new=True)
        yield Move("somebody deletes the Deployment and creates it again", replaced, sure=False)
    if state.losses and state.runs[0].state in {"preparing", "purged"}:
        lost = state._replace(losses=0).with_run(0, forgotten(state.runs[0]))
        yield Move("the broker loses the first recovery's record", lost, sure=False)
    if state.rivals and state.jobs[0].status == "failed":
        taken = state._replace(rivals=0).with_job(0, Job("pending", "rival", state.jobs[0].stamps))
        yield Move("the application enqueues the job itself", _sent(taken, "rival", 0), sure=False)


def after_eviction(state: State) -> Iterator[State]:
    """Yield the state without a list of a first attempt: the one that is being sorted, or what was set aside of it."""
    for number, run in enumerate(state.runs):
        restores = state.restores_from != NO_RECOVERY and number == 0
        source = state.restores_from if restores else number
        if run.unsorted:
            gone = run.unsorted + state.runs[source].taken
            torn = state.with_run(number, run._replace(unsorted=(), missing=gone))
            torn = torn.with_run(source, torn.runs[source]._replace(taken=()))
        elif run.set_aside:
            gone = run.set_aside
            torn = state.with_run(number, run._replace(set_aside=(), missing=gone))
        else:
            continue
        sent = tuple(message for message in state.sent if message not in gone)
        yield torn._replace(sent=sent)


_GUARD: Final[Part] = "retention: not while a restore works on it"


def _expiration(state: State, *, guarded: bool) -> Move:
    """Unlink a quarantine, as `expire.lua` does, unless the run that holds the lock puts messages of it back."""
    label = "the retention of the quarantine is over"
    earlier, run = state.runs[state.restores_from], state.runs[0]
    if state.lock == 0:
        torn = state.with_run(state.restores_from, earlier._replace(moved=(), taken=()))
        return Move(label, state if guarded else torn.with_run(0, run._replace(unsorted=())), sure=False)
    unlinked = state.with_run(state.restores_from, earlier._replace(moved=(), taken=()))
    sent = tuple(message for message in state.sent if message not in earlier.moved + earlier.taken)
    return Move(label, unlinked._replace(sent=sent), sure=False)


def _of_the_last(state: State) -> Iterator[Move]:
    """Yield what may happen to the last recovery."""
    last = len(state.statuses) - 1
    if state.removals and state.statuses[last].touched and state.statuses[0].step == "planned":
        yield Move("somebody removes the last recovery by force", state._replace(removals=0, vanished=last), sure=False)
    if state.is_copy and state.statuses[last].over and state.vanished == NO_RECOVERY:
        yield Move("the last recovery is deleted, and created again", state._replace(vanished=last))
    for failed_over in after_failover(state):
        yield Move("a failover brings the last recovery's lock back, and its record", failed_over, sure=False)


def after_failover(state: State) -> Iterator[State]:
    """Yield the state in which the broker has lost how the last recovery ended: its release, and its markers."""
    last = len(state.statuses) - 1
    if state.failovers and state.statuses[last].over and state.lock == NO_RECOVERY and state.runs[0].state == "absent":
        before = state.runs[last]._replace(state="purged", was_purged=False, markers=())
        yield state._replace(failovers=0, lock=last).with_run(last, before)


def _removals(state: State) -> Iterator[Move]:
    if state.deletions:
        yield _deletion(state._replace(deletions=0))
    if state.strippings and state.finalizers[0]:
        stripped = state._replace(strippings=0).with_finalizer(0, there=False)
        yield Move("somebody removes the first recovery's finalizer, and leaves another", stripped, sure=False)


def _deletion(state: State) -> Move:
    if not state.finalizers[0] and not state.other_finalizer:
        return Move("the user deletes the first recovery, which goes", state._replace(vanished=0), sure=False)
    waits = state._replace(deleted=True, cancelled=True)
    return Move("the user deletes the first recovery, which has the finalizer", waits, sure=False)


def _sent(state: State, task: str, job: int) -> State:
    message = Message(task, job)
    return state.queued(message)._replace(sent=added(state.sent, message))


def is_over(state: State) -> bool:
    """Tell whether no operator has anything left to do."""
    return all(process.at == "done" for process in state.processes)
