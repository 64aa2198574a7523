"""Who leads: what a candidate concludes from the lease and its own clock. Pure.

Clocks of two machines are never compared. The lease of another candidate has expired when it has been unchanged for its
whole duration, on this process's clock. This process's own lease has expired after two thirds of that, counted from
before the request that renewed it. So one leader has stopped before another may begin, as long as no clock runs half as
fast again as another.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto


@dataclass(frozen=True)
class LeaseRecord:
    """The content of the lease. Its times are texts that are only compared."""

    holder: str
    """Empty: nobody holds it."""
    seconds: int
    renewed: str
    acquired: str = ""
    transitions: int = 0


@dataclass(frozen=True)
class Timing:
    """All durations of the election, in seconds, from the one that is set."""

    lease_duration: int
    """How long a lease that is not renewed keeps other candidates away."""

    @property
    def renew_deadline(self) -> float:
        """How long a leader goes on after the last renewal that it knows of."""
        return self.lease_duration * 2 / 3

    @property
    def retry_period(self) -> float:
        """Between two reads of the lease."""
        return self.lease_duration / 10

    @property
    def request_timeout(self) -> float:
        """How long one request may take.

        A read and a renewal that both hang still leave time for another try.
        """
        return min(3.0, self.lease_duration / 5)


class Action(Enum):
    """What to do next."""

    ACQUIRE = auto()
    RENEW = auto()
    WAIT = auto()
    LOST = auto()


@dataclass(frozen=True)
class Candidate:
    """What a process knows. All times are of its own monotonic clock."""

    identity: str
    """Of this process alone: a process that is started again has another one."""
    timing: Timing
    record: LeaseRecord | None = None
    """The lease as last read."""
    since: float = 0.0
    """When the lease was first read as it is."""
    until: float | None = None
    """How long this process leads; None while it does not."""

    def with_record(self, record: LeaseRecord | None, now: float) -> "Candidate":
        """Return the candidate after a read of the lease; None: there is no lease."""
        return self if record == self.record else replace(self, record=record, since=now)

    def decide(self, now: float) -> Action:
        """Return the next action."""
        held_by_me = self.record is not None and self.record.holder == self.identity
        if self.until is not None:
            return Action.RENEW if held_by_me and now < self.until else Action.LOST
        if self.record is None or not self.record.holder or held_by_me:
            # Mine without my knowing: the answer to the write got lost. Only a new write says from when it counts.
            return Action.ACQUIRE
        return Action.WAIT if self.seconds_to_wait(now) > 0 else Action.ACQUIRE

    def seconds_to_wait(self, now: float) -> float:
        """Return how long another candidate's lease is still valid."""
        held = self.record.seconds if self.record is not None else 0
        return self.since + (held or self.timing.lease_duration) - now

    def claim(self, time: str) -> LeaseRecord:
        """Return the lease as this process would write it."""
        before = self.record or LeaseRecord(holder="", seconds=0, renewed="")
        mine = replace(before, holder=self.identity, seconds=self.timing.lease_duration, renewed=time)
        if self.until is not None:
            return mine
        return replace(mine, acquired=time, transitions=before.transitions + (self.record is not None))

    def release(self, time: str) -> LeaseRecord | None:
        """Return the lease without a holder, if this process holds it."""
        if self.record is None or self.record.holder != self.identity:
            return None
        return replace(self.record, holder="", renewed=time)

    def with_claim_stored(self, sent: float) -> "Candidate":
        """Return the candidate after its claim, sent at that time, was stored."""
        return replace(self, until=sent + self.timing.renew_deadline)
