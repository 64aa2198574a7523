"""What one process sees of the state, and how it continues."""

from typing import Final, Literal, NamedTuple

from tests.model.state import NO_RECOVERY, Message, Process, Run, State, Status

Part = Literal[
    "status: written over the known one only",
    "finalizer: before the intent",
    "finalizer: removed only while it is not needed",
    "finalizer: not needed for an ending where it cannot be added",
    "take over: only what is gone",
    "take over: one that has ended, too",
    "take over: closes the run",
    "take over: settles what was not pushed",
    "take over: settles only for one that is gone",
    "take over: brings the workers back where it stops none",
    "take over: with the recorded replicas",
    "take over: recorded for the ending",
    "take over: unpauses where it stops none",
    "open: only while the lock is free",
    "scale: only as it was seen",
    "pause: only as it was seen",
    "pause: recorded before it is written",
    "pause: before the workers are scaled",
    "unpause: moves the version on without a pause too",
    "scale: only while the status is unchanged",
    "restore: moves the version on without a note too",
    "drain: the generation is recorded",
    "ledger: a copy of what was executed does not begin",
    "ledger: such a copy finishes what was left",
    "ledger: marked before anything is taken or claimed",
    "ledger: removed only if nothing was done",
    "take: leaves the messages of skipped jobs",
    "take: unacked before the lists",
    "take: refused once complete",
    "take: completes an attempt that consumers disturb",
    "take: leaves what is not selected",
    "sort: only as it was read",
    "bring back: all of it in one step",
    "bring back: before what producers have sent",
    "restore: only while the run is open",
    "redeliver: only what no running process can hold",
    "redeliver: looks at the workers after the messages",
    "redeliver: only the delivery that was read",
    "redeliver: only while the run is open",
    "redeliver: in one step",
    "restart: with one time for all of its processes",
    "restart: only while the status is unchanged",
    "restart: only as it was seen",
    "end: refuses late restarts",
    "retention: not while a restore works on it",
    "drain: a pod that was not seen to end has its grace period",
    "claim: before the push",
    "claim: with the status as seen",
    "claim: with the task id as seen",
    "claim: never over a stamp",
    "push: only while the run is open",
    "push: only without a marker",
    "end: refuses late takers before the workers come back",
    "end: workers before the final status",
    "end: closes the run",
    "end: brings back what is sorted out",
    "end: writes off what the broker has lost",
    "end: fails if it has written something off",
    "end: settles what was not pushed",
    "end: stamps what was never claimed",
    "end: keeps the stamp of what it gives back",
    "end: keeps the run",
    "end: releases the lock in doubt too",
    "end: does not wait for an autoscaler that may not be changed",
    "end: says which autoscaler may still be paused",
]
"""What makes the protocol hold; a test takes one out and sees it break."""

Outcome = tuple[State, Process] | None
"""The state and the process after an effect; None: the process waits."""

_FIRST: Final = {
    "planned": "lock",
    "draining": "open",
    "drained": "begin to take",
    "purged": "restore",
    "restarted": "prepare",
    "redelivered": "prepare",
}
"""Where each step of a recovery begins, by what its status says is done."""

_MARKED: Final = frozenset({"drained", "restarted"})
"""After which step the entry of the ledger is marked as executed, before the next one has effects."""


class View(NamedTuple):
    """What a process can see and use for one effect."""

    state: State
    process: Process
    without: frozenset[Part]
    one_by_one: bool
    """Each job is pushed before the next one is claimed, as at a low rate; else all are claimed first."""
    knows_selection: bool = True
    """Whether the process has the recovery's spec; one that takes the recovery over has not."""

    def has(self, part: Part) -> bool:
        """Tell whether this part of the protocol has been left in."""
        return part not in self.without

    @property
    def recovery(self) -> int:
        """The recovery's number, in place of its UID."""
        return self.process.recovery

    @property
    def status(self) -> Status:
        """The status as the process knows it."""
        return self.process.status

    @property
    def run(self) -> Run:
        """The recovery's record in Redis."""
        return self.state.runs[self.process.recovery]

    @property
    def stops_none(self) -> bool:
        """Whether the recovery leaves the workers alone."""
        return self.recovery in self.state.takes_none or self.restores

    @property
    def restores(self) -> bool:
        """Whether the recovery puts messages of an earlier one back."""
        return self.state.restores_from != NO_RECOVERY and self.recovery == 0

    def goes_back(self, message: Message) -> bool:
        """Tell whether a message goes back: it is not selected, its job is skipped, or it is restored."""
        if self.restores:
            return message.job in self.state.back
        skipped = {Message(seen.task, number) for number, seen in enumerate(self.run.seen) if seen.status != "failed"}
        selects = self.knows_selection and self.has("take: leaves what is not selected")
        leaves = self.has("take: leaves the messages of skipped jobs")
        return (selects and message.job in self.state.back) or (leaves and message in skipped)

    @property
    def is_open(self) -> bool:
        """Whether the scripts still let the run act."""
        return self.run.state in {"preparing", "purged"}

    def task(self, job: int) -> Message:
        """Return the message that the recovery enqueues for a job: always of the same task id."""
        return Message(f"new{self.process.recovery}", job)

    def go(self, at: str, state: State | None = None) -> Outcome:
        """Continue at another place, and forget all but the status."""
        process = Process(self.process.recovery, at, self.process.status, is_last=self.process.is_last)
        return state or self.state, process

    def stay(self, process: Process, state: State | None = None) -> Outcome:
        """Continue as this process."""
        return state or self.state, process

    def read_again(self) -> Outcome:
        """Begin where the stored status says, as after a death."""
        return self.state, Process(self.process.recovery)

    @property
    def is_gone(self) -> bool:
        """Whether the recovery's resource is not there any more."""
        return self.state.vanished == self.recovery

    @property
    def takes_no_finalizer(self) -> bool:
        """Whether the resource is being deleted, has lost the finalizer, and has another one."""
        return self.state.deleted and self.recovery == 0 and not self.state.finalizers[0]

    def gone(self) -> tuple[State, Process]:
        """End what was touched, once more if an ending was under way: there is nothing to write the status to."""
        if self.process.is_last or not self.status.touched:
            return self.state, Process(self.recovery, "done", self.status)
        status = self.status._replace(ending=self.status.ending or "Cancelled")
        at = "close" if self.status.ending else self.next(status)  # an ending has brought the workers back by then
        return self.state, Process(self.recovery, at, status, is_last=True)

    @property
    def is_confirmed(self) -> bool:
        """Whether the status is still the one that the process knows."""
        return not self.is_gone and self.state.statuses[self.recovery] == self.status

    def begun_again(self) -> Outcome:
        """Begin again after the status was found to be another, or gone."""
        return self.gone() if self.is_gone else self.read_again()

    def may_take_over(self, holder: int) -> bool:
        """Tell whether another recovery is known to be gone, or to have ended."""
        has_ended = self.state.statuses[holder].over and self.has("take over: one that has ended, too")
        return holder == self.state.vanished or has_ended or not self.has("take over: only what is gone")

    @property
    def first(self) -> str:
        """Where the step begins that comes after the one which the status says is done."""
        return self._first(self.status)

    def _first(self, status: Status) -> str:
        if self.recovery in self.state.restarts and status.step == "purged":
            return "look before the restart"
        redelivers = self.recovery in self.state.redelivers and status.step == "restarted"
        return "read unacked" if redelivers else _FIRST[status.step]

    def save(self, status: Status) -> Outcome:
        """Write the status and begin the next step, or read it if another process has written it meanwhile."""
        if self.is_gone:
            return self.gone()
        if self.state.statuses[self.recovery] != self.status and self.has("status: written over the known one only"):
            return self.read_again()
        without = status.ending and self.has("finalizer: not needed for an ending where it cannot be added")
        if status.touched and self.takes_no_finalizer and not without:
            return self.read_again()
        return self.state.with_status(self.recovery, status), Process(self.recovery, self.next(status), status)

    def next(self, status: Status) -> str:
        """Return where to begin, as `recovery/decide.py` does."""
        if status.over:
            return "remove the finalizer" if self.state.finalizers[self.recovery] else "done"
        if not status.ending:
            return "mark the entry" if self.state.is_copy and status.step in _MARKED else self._first(status)
        if status.step == "planned":
            return "finish"
        is_restarting = self.recovery in self.state.restarts and status.step == "purged"
        if is_restarting and self.has("end: refuses late restarts"):
            return "refuse late restarts"
        if self.stops_none or status.step in {"restarted", "redelivered", "reenqueued", "restored"}:
            return "close"
        return "refuse late takers" if self.has("end: workers before the final status") else "close"
