"""Whether what operators did is a way through the model (`tests/model`).

A trace shows effects, not what operators read nor what else goes on. So a set of states is followed: all in which the
model can be. Each effect has to be an action that the model allows in one of them, with the answer that the server
gave; the states after it are the next set. Once the set is empty, the code has done what the model does not know.

An effect that was given up, or whose operator died in it, may take place at any later moment, or never. A step may be
entered again after it was disturbed: by an error, by news, or by what it said in the status while it waited.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from tests.chaos.abstraction import BATCHES, READS, is_modelled, said_by
from tests.chaos.hidden_steps import HiddenSteps
from tests.chaos.lines import Lines
from tests.chaos.points import Crossing, Moment
from tests.chaos.possible_states import (
    Hypothesis,
    Pending,
    answers,
    begun_again,
    claims,
    is_written,
    supplied,
    whole_view,
    with_new_process,
    with_process,
)
from tests.chaos.traces import timed_early, unfinished
from tests.model.protocol import EFFECTS
from tests.model.state import NO_RECOVERY, Process, State
from tests.model.view import Outcome, View

_GOES_ON: Final = frozenset({"put back unacked", "sort", "sort at the end", "sort theirs"})
"""Actions on one message, of which one effect is several."""
_BETWEEN: Final = READS - {"read the status"}
_ALL_SORTED: Final = frozenset({"OK", "OK 0"})
_REFUSED: Final = frozenset({"CLOSED", "LOST"})
_GONE: Final = "404"
_OK: Final = "2"
"""What the status of a response begins with that is no error."""


@dataclass(kw_only=True)
class Conformance:
    """Follows one case."""

    start: State
    recoveries: Mapping[str, int]
    """The numbers of the recoveries in the model, by their UIDs."""
    jobs: Mapping[str, int]
    """The numbers of the jobs with a document that are listed for the compared queue, by their ids and keys."""
    every_queue: bool = False
    """Whether the recoveries cover another queue too, whose jobs are settled with those of the compared one."""
    flaky: bool = False
    """Whether servers may be out of reach, so that an ending skips what it need not wait for."""
    unlabelled: bool = False
    """Whether somebody may remove the labels of the Deployment."""
    effects: Mapping[str, Callable[[View], Outcome]] = field(default_factory=lambda: EFFECTS)
    """The actions of the model."""
    _actors: dict[tuple[int, int], int] = field(default_factory=dict, init=False)
    _last: dict[int, str] = field(default_factory=dict, init=False)
    """The last action of each actor, by the effect's name."""
    _disturbed: set[int] = field(default_factory=set, init=False)
    _told: set[int] = field(default_factory=set, init=False)
    """Actors whose spec has changed since their last write of the status."""
    _partly_sorted: set[int | None] = field(default_factory=set, init=False)
    """Recoveries of which the last effect that sorted has left something, which is the same action of the model."""
    _lines: Lines = field(init=False)

    def __post_init__(self) -> None:
        """Read lines in the numbers of this case."""
        self._lines = Lines(recoveries=self.recoveries, jobs=self.jobs)

    def check(self, traces: Sequence[Sequence[Crossing]]) -> str:
        """Return the first effect that the model does not allow, with what it allows; nothing: it allows all.

        A paused process writes down the answer when it wakes. So its effect may have taken place as early as it began.
        """
        lines = [(line.time, number, line) for number, trace in enumerate(traces) for line in trace]
        found = self._check(traces, lines)
        early = timed_early(lines) if found else lines
        return found if early == lines else replace(self)._check(traces, early)

    def _check(self, traces: Sequence[Sequence[Crossing]], lines: Sequence[tuple[float, int, Crossing]]) -> str:
        now = {Hypothesis(self.start._replace(processes=()))}
        ends = {id(trace[-1]) for trace in traces if trace}
        begun = {number: unfinished(trace) for number, trace in enumerate(traces)}
        for _, number, line in sorted(lines, key=lambda one: one[0]):
            try:
                after = self._follow(now, number, line)
            except KeyError as unknown:
                return f"effect {unknown} is unknown to tests/chaos/abstraction.py"
            if not after:
                return self._explain(now, number, line)
            now = after
            if id(line) in ends:
                for effect in begun[number]:
                    now = self._given_up(now, number, effect) or now
                now = self._ended(now, number)
        return ""

    def _follow(self, now: set[Hypothesis], number: int, line: Crossing) -> set[Hypothesis]:
        match line.moment:
            case Moment.HEARD:
                actor = self._known(number, next(iter(line.about.runs), ""))
                self._told |= set() if actor is None else {actor}
                return now
            case Moment.IDLE:
                actor = self._known(number, line.by)
                return now if actor is None else {with_process(one, actor, begun_again(one, actor)) for one in now}
            case Moment.AFTER | Moment.FAILED if is_modelled(line.name) and self._lines.is_compared(line):
                now, actor = self._acting(now, number, line)
                if line.moment is Moment.FAILED:
                    return self._given_up(now, number, line)
                return self._acted(now, actor, line)
            case Moment.AFTER | Moment.FAILED if line.name.startswith("k8s ledger "):
                actor = self._known(number, line.by)
                if actor is not None and not (line.moment is Moment.AFTER and line.answer.startswith(_OK)):
                    self._disturbed.add(actor)
                return now
            case _:
                return now

    def _acted(self, now: set[Hypothesis], actor: int, line: Crossing) -> set[Hypothesis]:
        is_status = line.name.startswith("k8s status ")
        if line.name.startswith("k8s ") and not line.answer.startswith(_OK):
            self._disturbed.add(actor)
            return now | (set(self._gone(now, actor)) if line.answer == _GONE else set())
        found: set[Hypothesis] = set()
        batch, owner = _batch(line.name), self._lines.recovery(line.about.runs)
        if (batch in BATCHES and self._last.get(actor) == batch) or (
            batch == "redis sort" and owner in self._partly_sorted
        ):
            found |= now
        if batch == "redis sort":
            (self._partly_sorted.discard if line.answer in _ALL_SORTED else self._partly_sorted.add)(owner)
        if self._is_of_others(line):
            found |= now
        closed = self._closed({*now, *(supplied(one, line.name) for one in now)})
        for one in closed:
            recovery = one.state.processes[actor].recovery
            if is_status and said_by(one.state.statuses[recovery]) == line.about.status:
                found.add(one)
            if line.answer in _REFUSED and one.state.processes[actor].at == "end as failed":
                found.add(one)  # refused before, and again
            found |= set(self._actions(one, one.state.processes[actor], line, actor))
        reports = is_status and found <= closed
        self._told -= {actor} if is_status else set()
        if reports or line.answer.split(" ")[0] in {"CLOSED", "LOST", "LOCKED", "UNKNOWNCONSUMER"}:
            self._disturbed.add(actor)
        else:
            self._disturbed.discard(actor)
        if not reports:
            self._last[actor] = batch
        return found

    def _is_of_others(self, line: Crossing) -> bool:
        """Tell whether an effect may be about what the model has not: written-out jobs, or another queue's workers."""
        is_push = line.name == "redis push" and not self._lines.numbers(line)
        return is_push or (line.name == "k8s fence" and self.every_queue)

    def _actions(self, one: Hypothesis, process: Process, line: Crossing, actor: int | None) -> Iterator[Hypothesis]:
        """Yield what comes of an effect as an action of a process, which is none of the state's for a pending one."""
        places = self._lines.places(line, process.recovery)
        if self.every_queue and process.at == "release" and "settle" in places:
            run = one.state.runs[process.recovery]
            todo = tuple(number for number in range(len(one.state.jobs)) if number not in run.markers)
            process = process._replace(at="settle", todo=todo)
        if process.at not in places:
            return
        for one_by_one in (False, True):
            for state, then in self._steps(whole_view(one.state, process, one_by_one=one_by_one), line):
                if self._fits(one.state, state, process.recovery, line):
                    after = Hypothesis(state, one.pending)
                    yield after if actor is None else with_process(after, actor, then)

    def _gone(self, now: set[Hypothesis], actor: int) -> Iterator[Hypothesis]:
        """Yield the states in which a process has met no resource any more."""
        for one in self._closed(now):
            view = whole_view(one.state, one.state.processes[actor])
            if view.is_gone:
                yield with_process(one, actor, view.gone()[1])

    def _steps(self, view: View, line: Crossing) -> Iterator[tuple[State, Process]]:
        """Yield the states after an effect, of which some are several actions of the model."""
        numbers, at = self._lines.numbers(line), view.process.at
        if at == "claim":
            yield from claims(view, numbers, self.effects["claim"])
            return
        if at == "push" and set(view.process.ours) != set(numbers):
            return
        outcome = self.effects[at](view)
        if line.answer == "RETURNING":
            outcome = self._returning(view, line)
        while outcome is not None:
            state, process = outcome
            if at not in {"settle", "settle theirs"} or process.at != at:
                yield outcome
            if at in _GOES_ON and process.at in _BETWEEN:
                outcome = self.effects[process.at](view._replace(state=state, process=process))
                if outcome is None:
                    return
                state, process = outcome
            if process.at != at or at not in {*_GOES_ON, "settle", "settle theirs"}:
                return
            outcome = self.effects[at](view._replace(state=state, process=process))

    def _returning(self, view: View, line: Crossing) -> tuple[State, Process] | None:
        """Close a run of which another list than the compared one is not sorted yet."""
        number = self._lines.recovery(line.about.runs)
        owner = view.recovery if number is None else number
        run = view.state.runs[owner]
        unsorted = view._replace(state=view.state.with_run(owner, run._replace(sorting=True)))
        outcome = self.effects[view.process.at](unsorted) if run.state == "purged" else None
        if outcome is None:
            return None
        state, process = outcome
        return state.with_run(owner, state.runs[owner]._replace(sorting=run.sorting)), process

    def _fits(self, before: State, after: State, recovery: int, line: Crossing) -> bool:
        """Tell whether a server's answer is the one that it gives in this state."""
        acted_on = self._lines.recovery(line.about.runs)
        number = recovery if acted_on is None else acted_on
        match line.name.split(" "):
            case ["k8s", "status", *_]:
                return said_by(after.statuses[number]) == line.about.status
            case ["k8s", *words]:
                return is_written(before, after, recovery, " ".join(words))
            case ["redis", script]:
                return line.moment is not Moment.AFTER or answers(before, after, number, script, line.answer)
            case _:
                return True

    def _given_up(self, now: set[Hypothesis], number: int, line: Crossing) -> set[Hypothesis]:
        """Return the states after an effect of which nobody knows whether and when it takes place."""
        if not (is_modelled(line.name) and self._lines.is_compared(line)):
            return now
        now, actor = self._acting(now, number, line)
        self._disturbed.add(actor)
        found: set[Hypothesis] = set()
        for one in self._closed({*now, *(supplied(one, line.name) for one in now)}):
            process = one.state.processes[actor]
            found.add(one)
            if process.at not in self._lines.places(line, process.recovery):
                continue
            later = one._replace(pending=(*one.pending, Pending(process, line)))
            found.add(with_process(later, actor, begun_again(one, actor)))
            if process.at == "refuse late takers":
                found.add(with_process(later, actor, process._replace(at="bring the workers back")))
        return found

    def _ended(self, now: set[Hypothesis], number: int) -> set[Hypothesis]:
        for (operator, _), actor in self._actors.items():
            if operator == number:
                now = {with_process(one, actor, Process(one.state.processes[actor].recovery, "done")) for one in now}
        return now

    def _closed(self, hypotheses: Iterable[Hypothesis]) -> set[Hypothesis]:
        """Return these states and all that follow from them without an effect."""
        hidden = HiddenSteps(
            effects=self.effects,
            flaky=self.flaky,
            unlabelled=self.unlabelled,
            begin_again=self._disturbed | self._told,
            late=lambda one, process, effect: self._actions(one, process, effect, None),
        )
        return hidden.closed(hypotheses)

    def _acting(self, now: set[Hypothesis], number: int, line: Crossing) -> tuple[set[Hypothesis], int]:
        """Return the states with the process that does this, which may be a new one."""
        recovery = self.recoveries[line.by or line.about.runs[0]]
        actor = self._actors.get((number, recovery))
        if actor is not None:
            return now, actor
        actor = self._actors[number, recovery] = len(self._actors)
        return {one._replace(state=with_new_process(one.state, Process(recovery))) for one in now}, actor

    def _known(self, number: int, uid: str) -> int | None:
        return self._actors.get((number, self.recoveries.get(uid, NO_RECOVERY)))

    def _explain(self, now: set[Hypothesis], number: int, line: Crossing) -> str:
        known = self._closed(now)
        actor = self._actors[number, self.recoveries[line.by or line.about.runs[0]]]
        places = sorted({process.at for one in known for process in one.state.processes[actor:][:1]})
        stored = sorted({said_by(status) for one in known for status in one.state.statuses})
        said = f", saying {line.about.status!r}" if line.about.status else ""
        return (
            f"operator {number + 1}: {line.name} #{line.number} ({line.moment}, answer {line.answer!r}{said}) is no "
            f"action of the model; it may be at {places or 'its beginning'} there, with the statuses {stored}"
        )


def _batch(effect: str) -> str:
    return "mongo fence" if effect in {"mongo revert", "mongo release"} else effect
