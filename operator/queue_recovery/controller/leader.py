"""Who leads: what a process concludes from the lease as it reads it, from its own name, and from its own clock. Pure.

Clocks of two machines are never compared. Another's lease is over when it has been unchanged, on this process's clock,
for as long as it says that it holds. That of this process is over after two thirds of that, counted from before the
request that renewed it. So one process has stopped before another may begin, as long as no clock runs half as fast
again as another.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto


@dataclass(frozen=True)
class Record:
    """What the lease says. Its times are texts: they are compared with themselves only."""

    holder: str
    """Empty: nobody's."""
    seconds: int
    renewed: str
    acquired: str = ""
    transitions: int = 0


@dataclass(frozen=True)
class Terms:
    """All durations of the election, in seconds, from the one that is set."""

    lease: int
    """How long a lease that is not renewed keeps others away."""

    @property
    def leading(self) -> float:
        """How long a leader goes on after the last renewal that it knows of."""
        return self.lease * 2 / 3

    @property
    def retry(self) -> float:
        """Between two looks at the lease."""
        return self.lease / 10

    @property
    def request(self) -> float:
        """How long one request may take: a look and a renewal that both hang still leave time for another try."""
        return min(3.0, self.lease / 5)


class Action(Enum):
    """What to do next."""

    ACQUIRE = auto()
    RENEW = auto()
    WAIT = auto()
    LOST = auto()


@dataclass(frozen=True)
class Standing:
    """What a process knows. All times are of its own monotonic clock."""

    identity: str
    """Of this process alone: one that is started again is another."""
    terms: Terms
    seen: Record | None = None
    since: float = 0.0
    """When the lease was first seen as it is."""
    until: float | None = None
    """How long this process leads; None while it does not."""

    def sees(self, record: Record | None, now: float) -> "Standing":
        """Take in the lease as it was just read; None: there is none. A change is another's sign of life."""
        return self if record == self.seen else replace(self, seen=record, since=now)

    def decides(self, now: float) -> Action:
        """Return what follows from all that was seen."""
        held_by_me = self.seen is not None and self.seen.holder == self.identity
        if self.until is not None:
            return Action.RENEW if held_by_me and now < self.until else Action.LOST
        if self.seen is None or not self.seen.holder or held_by_me:
            # Mine without my knowing: the answer to the write got lost. Only a new write says from when it counts.
            return Action.ACQUIRE
        return Action.WAIT if self.waits(now) > 0 else Action.ACQUIRE

    def waits(self, now: float) -> float:
        """Return how long another's lease still holds, as far as can be told."""
        held = self.seen.seconds if self.seen is not None else 0
        return self.since + (held or self.terms.lease) - now

    def claim(self, time: str) -> Record:
        """Return the lease as this process would write it."""
        before = self.seen or Record(holder="", seconds=0, renewed="")
        mine = replace(before, holder=self.identity, seconds=self.terms.lease, renewed=time)
        if self.until is not None:
            return mine
        return replace(mine, acquired=time, transitions=before.transitions + (self.seen is not None))

    def release(self, time: str) -> Record | None:
        """Return the lease as nobody's, if it is this process's."""
        if self.seen is None or self.seen.holder != self.identity:
            return None
        return replace(self.seen, holder="", renewed=time)

    def holds(self, sent: float) -> "Standing":
        """Take in that a claim was stored, which was sent at that time."""
        return replace(self, until=sent + self.terms.leading)
