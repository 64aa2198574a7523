"""Where an operator is to be hit: a moment of one of its effects. Shared by the harness and the operator's process."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict
from typing_extensions import override

TRACE = "CHAOS_TRACE"
"""Environment variable: the file that the operator writes its crossings to."""
POINTS = "CHAOS_POINTS"
"""Environment variable: the points at which it is hit, as JSON."""
PRODUCER = "CHAOS_PRODUCER"
"""Environment variable: URL of the broker to which the application produces a message at every crossing."""

Side = Literal["before", "after"]


class Moment(StrEnum):
    """What a line of a trace says."""

    BEFORE = "before"
    AFTER = "after"
    FAILED = "failed"
    """The effect was answered by an error, or given up; it is unknown whether it took place."""
    HIT = "hit"
    """The process is about to be killed, stopped or held at a point."""
    HEARD = "heard"
    """The operator has received a change of the recovery."""
    IDLE = "idle"
    """The operator has come to the end of its work on the recovery."""


class Fault(StrEnum):
    """What happens at a point."""

    DIE = "die"
    STOP = "stop"
    """The whole process is stopped until SIGCONT."""
    HOLD = "hold"
    """The one effect waits for SIGUSR1; everything else in the process goes on."""


class Point(BaseModel):
    """A moment of an effect: named and counted, or counted over all of the process's effects (`name` is None)."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    number: int
    side: Side
    fault: Fault = Fault.DIE

    @override
    def __str__(self) -> str:
        """Return it as a table shows it."""
        return f"{self.side} {self.name or 'effect'} #{self.number}"


class About(BaseModel):
    """What an effect is about, as far as the order of effects depends on it."""

    model_config = ConfigDict(frozen=True)

    runs: tuple[str, ...] = ()
    """UIDs of the runs in the broker, or of the recovery whose stamp or resource is written."""
    part: str = ""
    """The list that a script sorts or brings back, by what its key ends with."""
    jobs: tuple[str, ...] = ()
    """Keys of the jobs, or their ids in the job store."""
    status: str = ""
    """What a status says, as `abstraction.said` words it."""


class Crossing(BaseModel):
    """One line of a trace."""

    model_config = ConfigDict(frozen=True)

    moment: Moment
    name: str
    number: int = 0
    """Which effect of that name it is, from 1."""
    total: int = 0
    """Which effect of all it is, from 1."""
    time: float = 0.0
    """When, in seconds of a clock that all processes share."""
    by: str = ""
    """UID of the recovery that the operator worked on, if on one."""
    about: About = About()
    answer: str = ""
    """What the server said, once it has: the first words of a script, the status of an HTTP response."""
