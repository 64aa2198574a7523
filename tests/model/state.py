"""All that a recovery's processes share, as one value: three stores, the workers, and the processes themselves.

Plain tuples, because a state is hashed millions of times. A number that is only compared is stored as the outcome of
the comparison: of a Deployment's resourceVersion and generation, whether they are still the ones that were seen. So
they do not tell states apart that behave alike.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

_T = TypeVar("_T")

NO_RECOVERY = -1
"""In place of the number of a recovery."""

OLD = "old"
"""Task id of the messages that were in the queue from the start."""


class Message(NamedTuple):
    """A message of the queue."""

    task: str
    job: int


class Given(NamedTuple):
    """A message that a recovery has given back to the queue."""

    recovery: int
    message: Message


JobStatus = Literal["failed", "pending", "done"]


class Claimed(NamedTuple):
    """The stamp of a recovery that has taken a job up: what the document said before."""

    status: JobStatus
    task: str


Stamp = Claimed | Literal["none", "released"]


class Job(NamedTuple):
    """A job's document in MongoDB."""

    status: JobStatus
    task: str
    stamps: tuple[Stamp, ...]
    """Of each recovery."""


class Run(NamedTuple):
    """A recovery's record in Redis, and its quarantine."""

    state: Literal["absent", "preparing", "purged", "closing", "closed"] = "absent"
    was_purged: bool = False
    attempt: int = 0
    complete: int = 0
    seen: tuple[Claimed, ...] = ()
    """What each job looked like when nothing ran; empty before that."""
    markers: tuple[int, ...] = ()
    """Jobs that were enqueued; of a restore, the jobs whose messages it brings back."""
    moved: tuple[Message, ...] = ()
    """Entries of `unacked` that the first attempt moved; given back where the run closes before its boundary."""
    taken: tuple[Message, ...] = ()
    """Everything else in the quarantine."""
    sorting: bool = False
    """Messages of a list are to be brought back, and are not all in the queue yet."""
    unsorted: tuple[Message, ...] = ()
    """Of that list, what is not sorted yet, in its order."""
    set_aside: tuple[Message, ...] = ()
    """What is brought back, in its order; no worker reaches it."""
    missing: tuple[Message, ...] = ()
    """What the broker has lost of that list, or of what was set aside, and no ending has written off."""
    lost: bool = False
    """An ending has written off what the broker had lost."""


class Entry(NamedTuple):
    """The entry of the ledger for the name and the spec that a recovery and its copy have in common."""

    recovery: int = NO_RECOVERY
    """Whose it is; nobody's: there is none."""
    executed: bool = False


Step = Literal["planned", "draining", "drained", "purged", "restarted", "redelivered", "reenqueued", "restored"]


class Status(NamedTuple):
    """What a recovery's resource says. A write succeeds only over the status that the writer knows."""

    step: Step = "planned"
    attempt: int = 1
    held: bool = False
    """While `drained`: the Deployment's generation is still the one that was noted."""
    ending: Literal["", "Succeeded", "Failed", "Cancelled", "In doubt", "Already executed"] = ""
    over: bool = False
    enqueued: tuple[int, ...] = ()
    """The jobs that its figures say were enqueued; of a restore or a redelivery, those whose messages went back."""
    replicas: int = 1
    """What the Deployment is to be scaled back to."""
    taken_over: int = NO_RECOVERY
    """The recovery that is gone and whose note was on the Deployment."""
    pauses: bool = False
    """It names the autoscaler, which is paused for the drain."""
    paused_before: int = NO_RECOVERY
    """The recovery that is gone and had paused the autoscaler."""
    still_paused: bool = False
    """Its final message says that the autoscaler may still be paused."""

    @property
    def touched(self) -> bool:
        """Whether something has to be put in order before the resource may go."""
        return self.step != "planned" and not self.over


class Process(NamedTuple):
    """An operator's process that reconciles one recovery: where it is, and what it remembers."""

    recovery: int
    at: str = "read the status"
    status: Status = Status()
    is_last: bool = False
    """It ends a recovery whose resource is gone."""
    fresh: bool = False
    """The Deployment's resourceVersion is still the one that was seen."""
    held: bool = False
    """The Deployment's generation is still the one that was seen when no pod lived."""
    unpaused: bool = False
    """The autoscaler's resourceVersion is still the one that was seen before the pause."""
    tags: tuple[Message, ...] = ()
    """Entries of `unacked` that a scan found, or the message to be sorted next."""
    again: tuple[Message, ...] = ()
    """Of the entries that a scan found, those that were delivered again since."""
    remaining: int = 0
    """How many messages were not sorted when that one was read."""
    looks: tuple[Claimed, ...] = ()
    """What the jobs look like, to be frozen next."""
    todo: tuple[int, ...] = ()
    """Jobs to claim, or to settle."""
    ours: tuple[int, ...] = ()
    """Jobs that were claimed, to be enqueued next."""
    booked: tuple[int, ...] = ()
    """Jobs that a closed run says were enqueued."""
    doubtful: bool = False
    """The closed run knows nothing of a boundary that had been passed: the broker has lost it."""


class State(NamedTuple):
    """Everything. One queue, one Deployment of one replica."""

    processes: tuple[Process, ...]
    statuses: tuple[Status, ...]
    runs: tuple[Run, ...]
    jobs: tuple[Job, ...]
    lock: int = NO_RECOVERY
    queue: tuple[Message, ...] = ()
    unacked: tuple[Message, ...] = ()
    replicas: int = 1
    note: int = NO_RECOVERY
    pods: int = 1
    hands: tuple[Message, ...] = ()
    """What the pod works on; a message of `unacked`, unless somebody has taken it from under the worker."""
    executed: tuple[Message, ...] = ()
    sent: tuple[Message, ...] = ()
    """Every message that has ever been put into the queue, as often as it was; only the properties read it."""
    retries: bool = True
    """The worker retries the old messages indefinitely; else they come to an end like any other."""
    cancelled: bool = False
    """The user has cancelled the first recovery, or deleted it while it had the finalizer."""
    deleted: bool = False
    """The first recovery's resource goes with its finalizer."""
    other_finalizer: bool = False
    """Another finalizer keeps the resource after that."""
    finalizers: tuple[bool, ...] = ()
    """Which resources have it."""
    vanished: int = NO_RECOVERY
    """The recovery whose resource is gone."""
    takes_none: tuple[int, ...] = ()
    """The recoveries that take no messages, so that they stop no workers."""
    redelivers: tuple[int, ...] = ()
    """Those of them that give back what workers that were killed have left in `unacked`."""
    restarts: tuple[int, ...] = ()
    """Those of them that restart the worker."""
    is_new: bool = False
    """The Deployment was created again, so its pods need no restart."""
    restarted: tuple[int, ...] = ()
    """The recoveries that have done it, as often as they did; each leaves its own time on the worker."""
    restarted_late: bool = False
    """One has done it after its end; only the properties read it."""
    given: tuple[Given, ...] = ()
    """What was given back; only the properties read it."""
    restores_from: int = NO_RECOVERY
    """The recovery whose quarantine the first one puts back; it takes no messages and stops no workers."""
    back: tuple[int, ...] = ()
    """Jobs whose messages go back to the queue: those that no recovery selects, or those that a restore names."""
    autoscales: bool = False
    """An autoscaler scales the workers up from 0 while messages wait in the queue and it is not paused."""
    paused: int = NO_RECOVERY
    """The recovery that has paused it."""
    denied: bool = False
    """The API server denies every change of it."""
    is_copy: bool = False
    """The first recovery is created with the name and the spec of the last one, once that is gone."""
    entry: Entry = Entry()
    in_order: bool = False
    """The order of the queue counts: the message with the lowest number is the oldest, and is consumed first."""
    survivor: bool = False
    """A worker's process runs although its pod is gone."""
    unseen: bool = False
    """The pod is gone, and nobody has seen its process end."""
    grace_over: bool = False
    """The grace period of that pod is over."""
    outlives: bool = False
    """Its process runs longer than that, as on a lost node."""
    broker_away: bool = False
    deaths: int = 0
    """How often an operator may still die; the fields that follow count moves of others in the same way."""
    cancels: int = 0
    deletions: int = 0
    removals: int = 0
    strippings: int = 0
    outages: int = 0
    producers: int = 0
    scalings: int = 0
    rivals: int = 0
    losses: int = 0
    replacements: int = 0
    vanishings: int = 0
    expirations: int = 0
    failovers: int = 0
    crashes: int = 0
    evictions: int = 0
    denials: int = 0

    def with_run(self, recovery: int, run: Run) -> "State":
        """Return the state with this record in Redis."""
        return self._replace(runs=put(self.runs, recovery, run))

    def with_job(self, number: int, job: Job) -> "State":
        """Return the state with this document in MongoDB."""
        return self._replace(jobs=put(self.jobs, number, job))

    def with_finalizer(self, recovery: int, *, there: bool) -> "State":
        """Return the state with the resource's finalizer added or removed; a deleted one goes without it."""
        state = self._replace(finalizers=put(self.finalizers, recovery, there))
        goes = not there and self.deleted and not self.other_finalizer and recovery == 0
        return state._replace(vanished=recovery) if goes else state

    def queued(self, *messages: Message, last: bool = True) -> "State":
        """Return the state with these messages in the queue: consumed last, or first."""
        queue = (*self.queue, *messages) if last else (*messages, *self.queue)
        return self._replace(queue=queue if self.in_order else tuple(sorted(queue)))

    def with_status(self, recovery: int, status: Status) -> "State":
        """Return the state with this status in the API server."""
        return self._replace(statuses=put(self.statuses, recovery, status))

    def scaled(self, replicas: int, note: int) -> "State":
        """Return the state with the Deployment written: its resourceVersion and its generation have moved on."""
        return self._replace(
            replicas=replicas,
            note=note,
            statuses=tuple(status._replace(held=False) for status in self.statuses),
            processes=tuple(
                process._replace(fresh=False, held=False, status=process.status._replace(held=False))
                for process in self.processes
            ),
        )

    def with_pause(self, recovery: int) -> "State":
        """Return the state with the autoscaler written: its resourceVersion has moved on."""
        return self._replace(
            paused=recovery, processes=tuple(process._replace(unpaused=False) for process in self.processes)
        )

    def touched(self) -> "State":
        """Return the state with the Deployment's resourceVersion moved on, and nothing else."""
        return self._replace(processes=tuple(process._replace(fresh=False) for process in self.processes))


def _replacing(fields: Sequence[str]) -> Callable[..., Any]:
    """Return a `_replace` for a tuple of these fields that is four times as fast as the one that it has."""
    places = {name: place for place, name in enumerate(fields)}

    def replace(self: tuple[object, ...], **changes: object) -> tuple[object, ...]:
        items = list(self)
        for name, item in changes.items():
            items[places[name]] = item
        return tuple.__new__(type(self), items)

    return replace


# A quarter of an exploration goes by in it.
for _tuple in (Run, Status, Process, State):
    setattr(_tuple, "_replace", _replacing(_tuple._fields))  # noqa: B010  # not assigned: its type stays the precise one


def beginning(*, operators: tuple[int, ...] = (0, 0), jobs: int = 1, old: int = 1) -> State:
    """Return a state in which nothing has happened yet: failed jobs, their poisoned messages, and planned recoveries.

    Args:
        operators: the recovery of each process.
        jobs: how many jobs every recovery lists.
        old: how many messages there are, one of each job; the worker holds the first.
    """
    recoveries = max(operators) + 1
    messages = tuple(Message(OLD, job) for job in range(old))
    unstamped: Stamp = "none"
    return State(
        processes=tuple(Process(recovery) for recovery in operators),
        statuses=(Status(),) * recoveries,
        finalizers=(False,) * recoveries,
        runs=(Run(),) * recoveries,
        jobs=(Job("failed", OLD, (unstamped,) * recoveries),) * jobs,
        hands=messages[:1],
        unacked=messages[:1],
        queue=messages[1:],
        sent=messages,
    )


def in_order(*, back: tuple[int, ...], messages: int, old: int = 0) -> State:
    """Return a state in which the order of the queue counts, no job is listed, and only messages are moved.

    Args:
        back: the numbers of the messages that go back to the queue.
        messages: how many there are, numbered from the one that is consumed first.
        old: how many of them an earlier recovery took from workers, which the first recovery puts back with the others
            of its quarantine; 0: there is no earlier one, and all messages are in the queue.
    """
    sent = tuple(Message(OLD, number) for number in range(messages))
    state = beginning(jobs=0, old=0)._replace(in_order=True, sent=sent, back=back)
    if not old:
        return state._replace(queue=sent)
    earlier = Run("closed", was_purged=True, attempt=1, complete=1, moved=sent[:old], taken=sent[old:])
    return state._replace(
        restores_from=1,
        statuses=(Status(), Status(step="reenqueued", over=True, ending="Succeeded")),
        finalizers=(False, False),
        runs=(Run(), earlier),
    )


def forgotten(run: Run) -> Run:
    """Return what is left of a run whose record is gone: its quarantine, and what processes remember of the jobs."""
    return Run(seen=run.seen, moved=run.moved, taken=run.taken, unsorted=run.unsorted, set_aside=run.set_aside)


def added(messages: tuple[Message, ...], *more: Message) -> tuple[Message, ...]:
    """Return the messages with more of them; their order says nothing."""
    return tuple(sorted((*messages, *more)))


def removed(messages: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    """Return the messages without one of its kind, if it is there."""
    if message not in messages:
        return messages
    index = messages.index(message)
    return messages[:index] + messages[index + 1 :]


def put(items: tuple[_T, ...], index: int, item: _T) -> tuple[_T, ...]:
    """Return the items with this one at that index."""
    return (*items[:index], item, *items[index + 1 :])
