"""What the lines of a case's traces say of effects that did not end at once. Pure."""

from collections.abc import Sequence

from tests.chaos.points import Crossing, Moment


def unfinished(trace: Sequence[Crossing]) -> list[Crossing]:
    """Return the effects that have begun and of whose end nothing is known."""
    begun = {(line.name, line.number): line for line in trace if line.moment is Moment.BEFORE}
    over = {(line.name, line.number) for line in trace if line.moment in {Moment.AFTER, Moment.FAILED}}
    return [line for key, line in begun.items() if key not in over]


def timed_early(lines: Sequence[tuple[float, int, Crossing]]) -> list[tuple[float, int, Crossing]]:
    """Return the lines with each answer at the time at which its effect began, if another operator acted between."""
    begun = {(number, line.name, line.number): time for time, number, line in lines if line.moment is Moment.BEFORE}
    answers = [(time, number) for time, number, line in lines if line.moment is Moment.AFTER]

    def time_of(time: float, number: int, line: Crossing) -> float:
        since = begun.get((number, line.name, line.number), time) if line.moment is Moment.AFTER else time
        return since if any(since < other < time and by != number for other, by in answers) else time

    return [(time_of(*one), *one[1:]) for one in lines]
