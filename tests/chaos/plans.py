"""Which cases a campaign runs: made from one undisturbed run's effects, and from a seed. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final, get_args

from tests.chaos.abstraction import is_modelled
from tests.chaos.cases import FORGED, OF_THE_STORE, Case, Trouble
from tests.chaos.points import Crossing, Fault, Moment, Point, Side

SIDES: Final[tuple[Side, ...]] = get_args(Side)

_AT_POINTS: Final = {
    Trouble.DEATH: Fault.DIE,
    Trouble.SUCCESSION: Fault.DIE,
    Trouble.PAUSE: Fault.STOP,
    Trouble.OVERTAKEN: Fault.STOP,
    Trouble.REMOVED: Fault.DIE,
    Trouble.REMOVED_LATE: Fault.STOP,
    Trouble.CREATED_AGAIN: Fault.DIE,
    Trouble.TARGET_EDITED: Fault.DIE,
    Trouble.TARGET_DELETED: Fault.DIE,
    Trouble.APPROVED: Fault.DIE,
    Trouble.TRANSIENT: Fault.DIE,
    Trouble.CAUSE_OVER: Fault.DIE,
}

_ONE_SIDED: Final = {
    *(Trouble.CUT, Trouble.LOST_ANSWER, Trouble.SLOW, Trouble.LATE),
    *(Trouble.FAILOVER, Trouble.CONFLICT, Trouble.NO_MAJORITY),
    *(*FORGED, Trouble.LOCK_BACK, Trouble.LIST_LOST),
}
"""They happen to the effect itself, or to what only effects change, so have one side only."""

_BETWEEN: Final = {
    Trouble.UNLABELLED: ("k8s scale to 0", "k8s scale back"),
    **dict.fromkeys(
        (*FORGED, Trouble.TARGET_EDITED, Trouble.TARGET_DELETED, Trouble.ROTATED), ("redis open", "redis release")
    ),
    Trouble.ROLLED_BACK: ("redis open", "redis push"),
    Trouble.UPDATED: ("redis open", "redis boundary"),
}
"""The effect with which there is what the trouble happens to, and the one that ends that."""

OF_ONE_KIND: Final = {*_BETWEEN, Trouble.LOCK_BACK, Trouble.APPROVED, Trouble.TRANSIENT, Trouble.CAUSE_OVER}
"""They happen to recoveries of one kind only."""

_OF_PURGES: Final = {
    *(*FORGED, *OF_THE_STORE, Trouble.ROLLED_BACK, Trouble.UPDATED, Trouble.TRANSIENT, Trouble.CAUSE_OVER),
    *(Trouble.LIST_LOST, Trouble.UNLABELLED),
}
"""They happen to what only a recovery has that takes messages or stops workers, or to jobs that it enqueues."""

_WAITING: Final = "AwaitingRollout"

PLAIN: Final = Case(trouble=Trouble.NONE)
UNLINKING: Final = replace(PLAIN, retention=0)
"""A recovery that unlinks its quarantine at once has an effect more."""
EVERY_QUEUE: Final = replace(PLAIN, every_queue=True)
"""A recovery of every queue has most of the broker's effects once for each."""
PENDING: Final = replace(PLAIN, pending=True)
"""A recovery that leaves messages of listed jobs in the queue sorts what it has taken."""
PENDING_ELSEWHERE: Final = replace(PENDING, every_queue=True)
"""One of every queue leaves messages of jobs that are listed for another queue."""
RESTORING: Final = replace(PLAIN, restore=True)
RESTARTING: Final = replace(PLAIN, restarts=True)
"""A recovery that restarts workers has one effect more, and most of the broker's less."""
REDELIVERING: Final = replace(PLAIN, redelivers=True)
"""A recovery that gives back what nobody holds has an effect of its own, and most of the broker's less."""
RESTARTING_AND_REDELIVERING: Final = replace(RESTARTING, redelivers=True)
"""One that does both gives back what the former workers have left, too."""
REDELIVERING_EVERY_QUEUE: Final = replace(REDELIVERING, every_queue=True)
STATEFUL: Final = replace(PLAIN, stateful=True)
"""A recovery of a StatefulSet that KEDA scales pauses KEDA, and unpauses it."""
ROLLOUT: Final = replace(PLAIN, rollout=True)
"""A recovery of a Rollout writes to an object of another group."""
UNPURGED: Final = (
    RESTARTING,
    REDELIVERING,
    RESTARTING_AND_REDELIVERING,
    REDELIVERING_EVERY_QUEUE,
    replace(REDELIVERING, trouble=Trouble.APPROVED),
)
"""Recoveries that take no message."""
APPROVED: Final = replace(PLAIN, trouble=Trouble.APPROVED)
"""A recovery that has to be approved asks for it, and plans again."""
TRANSIENT: Final = replace(PLAIN, trouble=Trouble.TRANSIENT)
"""A recovery whose errors are transient is held after its plan, and plans again."""
CAUSE_OVER: Final = replace(PLAIN, trouble=Trouble.CAUSE_OVER)
"""A recovery whose cause is over is held after its plan."""
WAITING: Final = replace(PLAIN, waits=True)
"""A recovery that has waited for the queue's lock plans again."""


def kind_for(trouble: Trouble) -> Case:
    """Return the kind of recovery whose every effect a trouble happens to."""
    kinds = {
        Trouble.TARGET_EDITED: PENDING,
        Trouble.APPROVED: APPROVED,
        Trouble.TRANSIENT: TRANSIENT,
        Trouble.CAUSE_OVER: CAUSE_OVER,
        Trouble.UPDATED: ROLLOUT,
    }
    return kinds.get(trouble, PLAIN)


_OF_THE_DRAIN: Final = {"redis open", "k8s scale to 0"}
"""The effects before the last look at the workers: what replaces them later runs while messages are taken."""
_FIRST_LIST: Final = frozenset({"", "0"})
_OF_THE_LEDGER: Final = (
    "k8s ledger ",
    "redis boundary",
    "redis push",
    "redis stage",
    "redis redeliver",
    "k8s restart",
)
"""What effects begin with after which the ledger has to say more than before."""
_OF_A_LOST_RELEASE: Final = {"redis push", "redis release"}
"""The effects at which a failover goes back to the lock and the record: without the markers, and with all of them."""


def chance(seed: int) -> Random:
    """Return what chooses at random, the same for the same seed."""
    return Random(seed)  # noqa: S311  # nothing secret


def effects(trace: Iterable[Crossing]) -> list[Crossing]:
    """Return the effects of a run in their order, as they began."""
    return [one for one in trace if one.moment is Moment.BEFORE]


def steps(seen: Iterable[Crossing]) -> list[Crossing]:
    """Return those that are the recovery's own and come in every run: no events, no looks at targets, no waiting."""
    return [one for one in seen if not one.name.startswith(("(target) ", "k8s event ")) and _WAITING not in one.name]


def more(seen: Sequence[Crossing], than: Sequence[Crossing]) -> list[Crossing]:
    """Return the steps of one kind of recovery that another kind has not, or not as often."""
    known = {(one.name, one.number) for one in than}
    return [one for one in steps(seen) if (one.name, one.number) not in known]


def sorting(seen: Iterable[Crossing]) -> list[Crossing]:
    """Return the steps that part what is taken from what goes back."""
    return [one for one in seen if one.name in {"redis sort", "redis rejoin"}]


def stopping(seen: Iterable[Crossing]) -> list[Crossing]:
    """Return the steps from the first pause of KEDA to the last one of giving the workers back."""
    own = steps(seen)
    places = [place for place, one in enumerate(own) if one.name.startswith("k8s keda ")]
    return own[places[0] : places[-1] + 1]


def scaling(seen: Iterable[Crossing]) -> list[Crossing]:
    """Return the steps that write to the workers."""
    return [one for one in steps(seen) if one.name.startswith(("k8s scale ", "k8s disown"))]


def matrix(trouble: Trouble, seen: Sequence[Crossing], like: Case = PLAIN) -> Iterator[Case]:
    """Yield a case for each side of each effect that the trouble can happen to, of recoveries like that one."""
    for effect in filter(_can_be_hit_by(trouble), _between(seen, *_BETWEEN[trouble]) if trouble in _BETWEEN else seen):
        for side in SIDES[:1] if trouble in _ONE_SIDED else SIDES:
            point = Point(name=effect.name, number=effect.number, side=side, fault=_AT_POINTS.get(trouble, Fault.HOLD))
            yield replace(like, trouble=trouble, points=(point,))


def unpurged(trouble: Trouble, seen: Mapping[Case, Sequence[Crossing]]) -> Iterator[Case]:
    """Yield a case for each step of a recovery that takes no message, and for those that others of them have not."""
    if trouble is Trouble.APPROVED:
        approved = replace(REDELIVERING, trouble=trouble)
        yield from matrix(trouble, more(seen[approved], seen[REDELIVERING]), approved)
    elif trouble not in _OF_PURGES:
        yield from matrix(trouble, steps(seen[REDELIVERING]), REDELIVERING)
        yield from matrix(trouble, steps(seen[RESTARTING]), RESTARTING)
        for kind in () if trouble in _BETWEEN else (RESTARTING_AND_REDELIVERING, REDELIVERING_EVERY_QUEUE):
            yield from matrix(trouble, more(seen[kind], [*seen[RESTARTING], *seen[REDELIVERING]]), kind)


def _between(seen: Sequence[Crossing], first: str, last: str) -> Sequence[Crossing]:
    own = [one for one in steps(seen) if is_modelled(one.name)]
    names = [one.name for one in own]
    return own[names.index(first) : names.index(last) + 1]


def _can_be_hit_by(trouble: Trouble) -> Callable[[Crossing], bool]:
    if trouble is Trouble.REPLACED:
        return lambda effect: effect.name in _OF_THE_DRAIN
    if trouble is Trouble.CREATED_AGAIN:
        return lambda effect: effect.name.startswith(_OF_THE_LEDGER)
    if trouble is Trouble.LOCK_BACK:
        return lambda effect: effect.name in _OF_A_LOST_RELEASE
    if trouble is Trouble.LIST_LOST:
        return lambda effect: effect.name == "redis sort" and effect.about.part in _FIRST_LIST
    if trouble in OF_THE_STORE:
        return lambda effect: effect.name.removeprefix("(target) ").startswith("mongo ")
    return lambda _: True


def twice(random: Random, seen: Sequence[Crossing], cases: int, *, real_workers: bool = False) -> Iterator[Case]:
    """Yield recoveries whose operator is killed at two random points."""
    for _ in range(cases):
        points = (_anywhere(random, len(seen)), _anywhere(random, len(seen)))
        yield Case(trouble=Trouble.DEATH, points=points, real_workers=real_workers)


def told_and_killed(random: Random, seen: Sequence[Crossing], cases: int) -> Iterator[Case]:
    """Yield recoveries that are cancelled or deleted at some effect, and whose operator is killed at a later one."""
    for _ in range(cases):
        effect = random.choice(seen)
        held = Point(name=effect.name, number=effect.number, side=random.choice(SIDES), fault=Fault.HOLD)
        later = Point(number=effect.total + random.randint(1, 15), side=random.choice(SIDES))
        yield Case(trouble=random.choice([Trouble.CANCEL, Trouble.DELETE]), points=(held, later))


def _anywhere(random: Random, effects: int) -> Point:
    return Point(number=random.randint(1, effects), side=random.choice(SIDES))
