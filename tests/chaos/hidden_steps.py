"""What may happen without a line in the trace: what operators only read, and what others do. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.chaos.abstraction import READS
from tests.chaos.points import Crossing
from tests.chaos.possible_states import Hypothesis, after_surroundings, shared, whole_view, with_process
from tests.model.state import NO_RECOVERY, Process, State
from tests.model.view import Outcome, View


@dataclass(frozen=True, kw_only=True)
class HiddenSteps:
    """The steps that no trace shows, at one moment of a case."""

    effects: Mapping[str, Callable[[View], Outcome]]
    """The actions of the model."""
    flaky: bool
    """Whether servers may be out of reach, so that an ending skips what it need not wait for."""
    unlabelled: bool
    """Whether somebody may remove the labels of the Deployment.

    Where they are removed after the drain, the operator goes by the generation. The model has one note for both.
    """
    begin_again: Collection[int]
    """Actors that may enter their step again."""
    late: Callable[[Hypothesis, Process, Crossing], Iterable[Hypothesis]]
    """What comes of an effect that was given up, when it takes place."""

    def closed(self, hypotheses: Iterable[Hypothesis]) -> set[Hypothesis]:
        """Return these states and all that follow from them in hidden steps."""
        found = set(hypotheses)
        waiting = list(found)
        while waiting:
            for one in self._next(waiting.pop()):
                if one not in found:
                    found.add(one)
                    waiting.append(one)
        return found

    def _next(self, one: Hypothesis) -> Iterator[Hypothesis]:
        state = one.state
        yield from (one._replace(state=after) for after in after_surroundings(state))
        for actor, process in enumerate(state.processes):
            yield from (with_process(one, actor, then) for then in self._unseen(state, process, actor))
        if self.unlabelled and state.note != NO_RECOVERY:
            yield one._replace(state=state._replace(note=NO_RECOVERY).touched())
        for index, (process, effect) in enumerate(one.pending):
            rest = one._replace(pending=one.pending[:index] + one.pending[index + 1 :])
            yield from self.late(rest, process, effect)

    def _unseen(self, state: State, process: Process, actor: int) -> Iterator[Process]:
        """Yield how a process may go on without an effect."""
        if process.at == "done":
            return
        view = whole_view(state, process)
        has_ended_theirs = process.at == "close theirs" and state.lock in {NO_RECOVERY, process.recovery}
        changes_nothing = process.at == "add the finalizer" or (process.at in {"freeze", "prepare"} and not state.jobs)
        if process.at in READS or changes_nothing or has_ended_theirs:
            outcome = self.effects[process.at](view)
            if outcome is not None and shared(outcome[0]) == shared(state):
                yield outcome[1]
        if self.flaky and process.at == "refuse late takers":
            yield process._replace(at="bring the workers back")
        cancelled = state.cancelled and process.recovery == 0 and not process.status.ending
        if cancelled or actor in self.begin_again:
            yield Process(process.recovery)
        if view.is_gone and not process.status.ending:
            yield view.gone()[1]
        status = state.statuses[process.recovery]
        if process.at == "read the status" and status.step == "planned" and not status.over:
            # It may know of a finalizer that is its own, which it need not remove first.
            at = "end as cancelled" if cancelled and not status.ending else view.next(status)
            yield process._replace(at=at, status=status)
