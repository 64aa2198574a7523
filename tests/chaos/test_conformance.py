"""A trace conforms to the model only if each of its effects is an action that the model allows at that moment."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pytest

from queue_recovery.broker.scripts import Script
from tests.chaos.abstraction import (
    BATCHES,
    NOT_MODELLED,
    OF_BROKEN_ONES,
    OF_COPIES,
    OWN,
    READS,
    THEIRS,
    WRITES,
    is_modelled,
)
from tests.chaos.conformance import Conformance
from tests.chaos.points import About, Crossing, Moment
from tests.model.protocol import EFFECTS
from tests.model.state import Message, Run, State, beginning
from tests.model.view import Outcome, View

UID = "uid"
START = beginning(old=0)._replace(unacked=(Message("old", 8),), queue=(Message("old", 9),))


def effect(name: str, answer: str = "", *, jobs: Sequence[str] = (), says: str = "", part: str = "") -> Crossing:
    """Return an effect of the one operator on the one recovery."""
    about = About(runs=(UID,), jobs=tuple(jobs), status=says, part=part)
    return Crossing(moment=Moment.AFTER, name=name, about=about, answer=answer, by=UID)


def status(says: str) -> Crossing:
    """Return a write of the status."""
    return effect("k8s status written", "200", says=says)


RECOVERY = [
    status("planned, attempt 1"),
    effect("k8s add the finalizer", "200"),
    status("draining, attempt 1"),
    effect("k8s event Draining", "201"),
    effect("redis open", "OK"),
    effect("k8s scale to 0", "200"),
    effect("redis freeze", "OK"),
    status("drained, attempt 1"),
    effect("redis move_unacked", "OK"),
    effect("redis boundary", "OK"),
    effect("redis complete", "OK"),
    status("purged, attempt 1"),
    effect("k8s scale back", "200"),
    status("restarted, attempt 1"),
    effect("redis freeze", "OK"),
    effect("mongo claim", jobs=["job"]),
    effect("redis push", "OK", jobs=["job"]),
    status("reenqueued, attempt 1, ends as Succeeded"),
    effect("redis close", "CLOSED 1"),
    effect("redis release", "OK"),
    status("over: Succeeded"),
    effect("k8s remove the finalizer", "200"),
]
"""What an operator does to a queue of one message, which is poisoned, another one that a worker holds, and one job."""


def checked(
    *traces: Sequence[Crossing],
    effects: Mapping[str, Callable[[View], Outcome]] = EFFECTS,
    start: State = START,
    recoveries: Mapping[str, int] = MappingProxyType({UID: 0}),
) -> str:
    """Check traces whose effects took place one after the other."""
    time = 0
    timed: list[list[Crossing]] = []
    for trace in traces:
        timed.append([])
        for line in trace:
            time += 1
            timed[-1].append(line.model_copy(update={"time": float(time), "number": time}))
    return Conformance(start=start, recoveries=recoveries, jobs={"job": 0}, effects=effects).check(timed)


def test_what_the_operator_does_conforms() -> None:
    assert checked(RECOVERY) == ""


def test_a_redelivery_that_has_ended_the_run_of_one_that_is_gone_may_have_nothing_to_do() -> None:
    start = beginning(operators=(0, 1), jobs=0, old=0)._replace(
        lock=1, vanished=1, runs=(Run(), Run("purged", was_purged=True)), redelivers=(0, 1), takes_none=(0, 1)
    )
    theirs = About(runs=("gone",))
    trace = [
        status("planned, attempt 1"),
        effect("redis close", "CLOSED 1").model_copy(update={"about": theirs}),
        effect("k8s fence", "200"),
        effect("redis release", "OK").model_copy(update={"about": theirs}),
        status("planned, attempt 1, ends as Succeeded"),
        status("over: Succeeded"),
    ]

    assert checked(trace, start=start, recoveries={UID: 0, "gone": 1}) == ""
    assert "k8s status written #4" in checked([*trace[:3], *trace[4:]], start=start, recoveries={UID: 0, "gone": 1})


SWAPPED = [
    ("redis open", "k8s scale to 0"),
    ("k8s scale to 0", "redis freeze"),
    ("redis move_unacked", "redis boundary"),
    ("redis boundary", "redis complete"),
    ("mongo claim", "redis push"),
    ("redis close", "redis release"),
]


@pytest.mark.parametrize(("first", "second"), SWAPPED, ids=[f"{first} and {second}" for first, second in SWAPPED])
def test_two_effects_in_the_wrong_order_do_not_conform(first: str, second: str) -> None:
    place = next(n for n, line in enumerate(RECOVERY) if (line.name, RECOVERY[n + 1].name) == (first, second))
    wrong = [*RECOVERY[:place], RECOVERY[place + 1], RECOVERY[place], *RECOVERY[place + 2 :]]

    assert f"operator 1: {second} #" in checked(wrong)


@pytest.mark.parametrize("left_out", range(1, len(RECOVERY) - 1), ids=lambda n: f"{n} {RECOVERY[n].name}")
def test_an_effect_that_is_left_out_does_not_conform(left_out: int) -> None:
    wrong = [*RECOVERY[:left_out], *RECOVERY[left_out + 1 :]]
    is_modelled_there = is_modelled(RECOVERY[left_out].name)

    assert bool(checked(wrong)) is is_modelled_there


def test_an_answer_that_the_server_cannot_give_there_does_not_conform() -> None:
    wrong = [line if line.name != "redis push" else effect("redis push", "CLOSED", jobs=["job"]) for line in RECOVERY]

    assert "redis push" in checked(wrong)


def test_an_effect_that_nobody_has_mapped_does_not_conform() -> None:
    assert "'redis rename' is unknown" in checked([*RECOVERY[:5], effect("redis rename", "OK")])


ACTIONS = ["open", "scale", "freeze", "move unacked", "pass the boundary", "claim", "push", "close"]


@pytest.mark.parametrize("action", [*ACTIONS, "write that it is drained", "look again", "wait for the rollout"])
def test_nothing_conforms_to_a_model_that_lacks_an_action(action: str) -> None:
    assert "is no action of the model" in checked(RECOVERY, effects={**EFFECTS, action: lambda _: None})


def test_an_operator_that_dies_is_followed_by_one_that_begins_the_step_again() -> None:
    died = RECOVERY.index(next(line for line in RECOVERY if line.name == "redis boundary"))
    begun = RECOVERY[died].model_copy(update={"moment": Moment.BEFORE})
    again = [effect("redis boundary", "OK"), *RECOVERY[died + 1 :]]

    assert checked([*RECOVERY[:died], begun], again) == ""
    assert "redis complete" in checked([*RECOVERY[: died - 1], begun], RECOVERY[died + 1 :])


def test_a_write_that_was_given_up_may_take_place_when_all_is_over() -> None:
    scaling = next(n for n, line in enumerate(RECOVERY) if line.name == "k8s scale to 0")
    failed = RECOVERY[scaling].model_copy(update={"moment": Moment.FAILED})

    assert checked([*RECOVERY[:scaling], failed, effect("redis open", "OK"), *RECOVERY[scaling:]]) == ""


def test_a_list_that_one_operator_has_sorted_in_part_is_sorted_on_by_the_next() -> None:
    start, boundary = START._replace(back=(9,)), [line.name for line in RECOVERY].index("redis boundary")
    rest = [effect("redis rejoin", "OK"), *RECOVERY[boundary + 1 :]]
    died = [*RECOVERY[: boundary + 1], effect("redis sort", "OK 3")]

    assert checked([*died, effect("redis sort", "OK 0"), *rest], start=start) == ""
    assert checked(died, [effect("redis sort", "OK 0"), *rest], start=start) == ""
    assert "redis sort" in checked(
        [*died[:-1], effect("redis sort", "OK 0")], [effect("redis sort", "OK 0"), *rest], start=start
    )


def test_one_that_is_cancelled_when_it_has_added_its_finalizer_need_not_remove_that_first() -> None:
    ends = [
        status("planned, attempt 1, ends as Cancelled"),
        status("over: Cancelled"),
        effect("k8s remove the finalizer", "200"),
    ]

    assert checked([*RECOVERY[:2], *ends], start=START._replace(cancels=1)) == ""
    assert "k8s status" in checked([*RECOVERY[:2], *ends])


def test_a_paused_process_writes_an_answer_down_long_after_its_effect() -> None:
    scaling = [line.name for line in RECOVERY].index("k8s scale to 0")
    followed_by = [effect("redis open", "OK"), *RECOVERY[scaling + 1 :]]
    begun = RECOVERY[scaling].model_copy(update={"moment": Moment.BEFORE, "number": 1, "time": scaling + 0.5})
    traces = [
        [*(line.model_copy(update={"time": float(n)}) for n, line in enumerate(RECOVERY[:scaling])), begun],
        [line.model_copy(update={"time": 10.0 + n}) for n, line in enumerate(followed_by)],
    ]
    late = begun.model_copy(update={"moment": Moment.AFTER, "time": 99.0})

    def conforms(*more: Crossing) -> bool:
        conformance = Conformance(start=START, recoveries={UID: 0}, jobs={"job": 0})
        return conformance.check([[*traces[0], *more], traces[1]]) == ""

    assert conforms(late)
    assert not conforms(late.model_copy(update={"number": 2}))


def test_each_script_is_mapped() -> None:
    assert [script for script in Script if script is not Script.DUE and not _is_known(f"redis {script}")] == []


def _is_known(name: str) -> bool:
    try:
        is_modelled(name)
    except KeyError:
        return False
    return True


def test_each_action_of_the_model_is_seen_or_only_reads_or_is_of_copies_or_of_a_broken_protocol() -> None:
    seen = {
        action
        for actions in [*OWN.values(), *THEIRS.values(), WRITES, READS, OF_COPIES, OF_BROKEN_ONES]
        for action in actions
    }

    assert seen == EFFECTS.keys()


def test_no_effect_is_both_an_action_and_none() -> None:
    assert not [name for name in OWN if any(name.startswith(beginning) for beginning in NOT_MODELLED)]
    assert {*THEIRS} | BATCHES <= {*OWN}
