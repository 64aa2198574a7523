"""What a process concludes from the lease, its name and its clock; and that it never makes two leaders."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queue_recovery.controller.candidate import Action, Candidate, LeaseRecord, Timing

TIMING = Timing(15)
MINE = LeaseRecord(holder="me", seconds=15, renewed="03:00:00", acquired="02:00:00", transitions=4)
OTHERS = LeaseRecord(holder="other", seconds=15, renewed="03:00:00", acquired="02:00:00", transitions=4)
SHORT = LeaseRecord(holder="other", seconds=6, renewed="03:00:00")
FREE = LeaseRecord(holder="", seconds=15, renewed="03:00:00", acquired="02:00:00", transitions=4)
NEW = Candidate("me", TIMING)
LEADING = NEW.with_record(MINE, 100).with_claim_stored(100)


@pytest.mark.parametrize(
    ("case", "candidate", "read", "now", "action"),
    [
        ("there is no lease", NEW, None, 100, Action.ACQUIRE),
        ("it was released", NEW, FREE, 100, Action.ACQUIRE),
        (
            "it was just released by its holder",
            NEW.with_record(OTHERS, 99),
            FREE,
            100,
            Action.ACQUIRE,
        ),
        ("another's is new to me, however old it is", NEW, OTHERS, 100, Action.WAIT),
        ("another's has not been unchanged for its duration", NEW.with_record(OTHERS, 100), OTHERS, 114.9, Action.WAIT),
        ("another's has been unchanged for its duration", NEW.with_record(OTHERS, 100), OTHERS, 115, Action.ACQUIRE),
        ("another's holds for as long as it says itself", NEW.with_record(SHORT, 100), SHORT, 106, Action.ACQUIRE),
        ("another's was renewed", NEW.with_record(SHORT, 100), OTHERS, 120, Action.WAIT),
        ("it is mine, by a write whose answer got lost", NEW.with_record(OTHERS, 100), MINE, 101, Action.ACQUIRE),
        ("it is mine", LEADING, MINE, 109.9, Action.RENEW),
        ("it is mine, but my time is over", LEADING, MINE, 110, Action.LOST),
        ("it was mine and is another's", LEADING, OTHERS, 101, Action.LOST),
        ("it was mine and somebody released it", LEADING, FREE, 101, Action.LOST),
        ("it was mine and somebody deleted it", LEADING, None, 101, Action.LOST),
    ],
)
def test_what_follows_from_the_lease_as_it_is_read(
    case: str, candidate: Candidate, read: LeaseRecord | None, now: float, action: Action
) -> None:
    assert candidate.with_record(read, now).decide(now) is action, case


def test_a_claim_counts_the_leaders_and_a_renewal_does_not() -> None:
    assert NEW.claim("now") == LeaseRecord(holder="me", seconds=15, renewed="now", acquired="now", transitions=0)
    assert NEW.with_record(OTHERS, 0).claim("now") == LeaseRecord(
        holder="me", seconds=15, renewed="now", acquired="now", transitions=5
    )
    assert LEADING.claim("now") == LeaseRecord(
        holder="me", seconds=15, renewed="now", acquired="02:00:00", transitions=4
    )


def test_only_its_own_lease_is_released() -> None:
    assert LEADING.release("now") == LeaseRecord(
        holder="", seconds=15, renewed="now", acquired="02:00:00", transitions=4
    )
    assert LEADING.with_record(OTHERS, 101).release("now") is None


@pytest.mark.parametrize("seconds", [3, 15, 3600])
def test_a_leader_may_lose_one_whole_try_to_a_hanging_server(seconds: int) -> None:
    timing = Timing(seconds)
    one_try = 2 * timing.request_timeout + timing.retry_period
    assert timing.retry_period + one_try < timing.renew_deadline < timing.lease_duration


# Any number of schedules: time passes, and a process makes its next step or meets with something.

SLOWEST, FASTEST = 0.85, 1.2
"""Rates of clocks; the timing tolerates one that runs half as fast again as another."""


@dataclass
class Server:
    record: LeaseRecord | None = None
    version: int = 0

    def replace(self, record: LeaseRecord, version: int) -> bool:
        if version == self.version:
            self.record, self.version = record, version + 1
            return True
        return False


@dataclass
class Process:
    """A candidate that reads, decides, writes and gets the answer, with the delays of the schedule."""

    candidate: Candidate
    rate: float
    offset: float
    read: tuple[LeaseRecord | None, int] | None = None
    writing: tuple[LeaseRecord, int, float] | None = None
    answer: tuple[bool, float] | None = None

    def clock(self, time: float) -> float:
        return self.offset + self.rate * time

    def leads(self, time: float) -> bool:
        return self.candidate.until is not None and self.clock(time) < self.candidate.until


@dataclass
class Simulation:
    processes: list[Process]
    server: Server = field(default_factory=Server)
    time: float = 0.0
    late: list[tuple[LeaseRecord, int]] = field(default_factory=list)
    """Writes that are under way although nobody waits for them any more."""
    names: "count[int]" = field(default_factory=count)

    def step(self, process: Process) -> None:
        now = process.clock(self.time)
        if process.candidate.until is not None and now >= process.candidate.until:
            self.start_again(process)
        elif process.answer is not None:
            stored, sent = process.answer
            process.answer = None
            if stored:
                process.candidate = process.candidate.with_claim_stored(sent)
        elif process.writing is not None:
            record, version, sent = process.writing
            process.writing = None
            process.answer = (self.server.replace(record, version), sent)
        elif process.read is None:
            process.read = (self.server.record, self.server.version)
        else:
            seen, version = process.read
            process.read = None
            process.candidate = process.candidate.with_record(seen, now)
            match process.candidate.decide(now):
                case Action.LOST:
                    self.start_again(process)
                case Action.ACQUIRE | Action.RENEW:
                    process.writing = (process.candidate.claim(f"{next(self.names)}"), version, now)
                case Action.WAIT:
                    pass

    def try_once(self, process: Process) -> None:
        self.step(process)
        while process.read or process.writing or process.answer:
            self.step(process)

    def time_out(self, process: Process) -> None:
        """Let it give up what it waits for; a write may arrive later all the same."""
        if process.writing is not None:
            self.late.append(process.writing[:2])
        process.read = process.writing = process.answer = None

    def arrive(self, _: Process) -> None:
        if self.late:
            self.server.replace(*self.late.pop(0))

    def release(self, process: Process) -> None:
        free = process.candidate.release(f"{next(self.names)}") if process.leads(self.time) else None
        version = self.server.version
        if free is not None and process.candidate.record == self.server.record:
            self.start_again(process)
            self.server.replace(free, version)

    def start_again(self, process: Process) -> None:
        self.time_out(process)
        process.candidate = Candidate(f"{next(self.names)}", process.candidate.timing)

    def leaders(self) -> int:
        return sum(process.leads(self.time) for process in self.processes)


Happening = Callable[[Simulation, Process], None]
WHAT: list[Happening] = [
    *[Simulation.step] * 4,
    *[Simulation.try_once] * 6,
    Simulation.time_out,
    Simulation.arrive,
    Simulation.release,
    Simulation.start_again,
]
CLOCKS = st.tuples(st.sampled_from([SLOWEST, 1.0, FASTEST]), st.sampled_from([-1e4, 0.0, 1e4]))
DELAYS = st.sampled_from([0.0, 0.0, 1.5, 9.0, 13.0])
SCHEDULE = st.lists(st.tuples(DELAYS, st.integers(0, 1), st.sampled_from(WHAT)), min_size=20, max_size=40)


@pytest.mark.thorough
@settings(max_examples=500, deadline=None)
@given(schedule=SCHEDULE)
def test_there_are_never_two_leaders(schedule: list[tuple[float, int, Happening]]) -> None:
    slow = Process(Candidate("slow", TIMING), SLOWEST, offset=1e4)
    fast = Process(Candidate("fast", TIMING), FASTEST, offset=-1e4)
    simulation = Simulation([slow, fast])
    for delay, number, happens in schedule:
        simulation.time += delay
        happens(simulation, simulation.processes[number])
        assert simulation.leaders() <= 1


@settings(max_examples=200, deadline=None)
@given(clock=CLOCKS, since=st.floats(0, 100))
def test_a_candidate_that_keeps_looking_takes_over_within_the_lease_duration(
    clock: tuple[float, float], since: float
) -> None:
    simulation = Simulation([Process(NEW, *clock)], Server(OTHERS, 7), since)
    (survivor,) = simulation.processes
    while not survivor.leads(simulation.time):
        simulation.step(survivor)
        simulation.time += (
            0.01 if survivor.read or survivor.writing or survivor.answer else TIMING.retry_period / FASTEST
        )
    assert simulation.time - since < (TIMING.lease_duration + 2 * TIMING.retry_period) / SLOWEST
