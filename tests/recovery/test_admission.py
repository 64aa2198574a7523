"""Whose turn it is: in the queues for locks, and among those that may stop their workers."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_recovery.recovery.admission import Admission, LockQueues, LockRequest, Slot, Slots
from queue_recovery.recovery.errors import AwaitingTurn
from queue_recovery.recovery.turn import Turn

NOW = datetime(2026, 11, 26, 3, 0, tzinfo=UTC)


def place(name: str, *queues: str, after: int = 0, target: str = "media") -> LockRequest:
    locks = frozenset(("team", target, queue) for queue in queues)
    return LockRequest(created=NOW + timedelta(seconds=after), name=f"team/{name}", locks=locks)


def standing(*places: LockRequest) -> LockQueues:
    queues = LockQueues()
    for each in places:
        queues.join(each)
    return queues


def test_namespaces_take_turns_however_many_wait_in_one_of_them() -> None:
    slots = Slots(4)
    crowd = [slots.request("crowd") for _ in range(10)]
    others = [slots.request(f"team-{number}") for number in range(2)]

    assert [slot.is_taken for slot in crowd] == [True, *[False] * 9]
    assert all(slot.is_taken for slot in others)


def test_a_slot_that_is_given_back_goes_to_the_namespace_whose_turn_it_is() -> None:
    slots = Slots(1)
    first, second, third, other = slots.request("a"), slots.request("a"), slots.request("a"), slots.request("b")

    first.release()
    assert second.is_taken
    second.release()
    assert (third.is_taken, other.is_taken) == (False, True)
    other.release()
    assert third.is_taken


def test_who_no_longer_waits_is_passed_over() -> None:
    slots = Slots(1)
    first, second, third = (slots.request("a") for _ in range(3))

    second.release()
    first.release()

    assert third.is_taken
    third.release()
    assert slots.request("a").is_taken


def test_who_cannot_wait_takes_a_slot_beyond_the_limit_and_others_wait_for_it() -> None:
    slots = Slots(1)
    first, second = slots.take("a"), slots.take("b")
    other = slots.request("c")

    first.release()
    assert not other.is_taken
    second.release()
    assert other.is_taken


class _Moves:
    namespaces: ClassVar = st.integers(0, 4).map(lambda number: f"team-{number}")
    asked: ClassVar = st.lists(namespaces, max_size=40)


@given(limit=st.integers(1, 12), asked=_Moves.asked, order=st.randoms(use_true_random=False))
def test_the_limit_and_each_share_hold_and_everybody_is_served(limit: int, asked: list[str], order: object) -> None:
    slots = Slots(limit)
    waiting = [slots.request(namespace) for namespace in asked]
    served: set[int] = set()
    while len(served) < len(waiting):
        taken = [number for number, slot in enumerate(waiting) if slot.is_taken]
        assert len(taken) <= limit
        for namespace in set(asked):
            assert sum(asked[number] == namespace for number in taken) <= max(1, limit // 4)
        assert taken, "nobody has a slot while some wait"
        done = order.choice(taken)  # type: ignore[attr-defined]
        served.add(done)
        waiting[done].release()


@given(asked=st.lists(_Moves.namespaces, min_size=1, max_size=30))
def test_as_many_are_served_before_one_as_it_was_told(asked: list[str]) -> None:
    slots = Slots(1)
    held: Slot = slots.take("somebody")
    waiting = [slots.request(namespace) for namespace in asked]
    told = {slot: slot.ahead for slot in waiting}

    order: list[Slot] = []
    while len(order) < len(waiting):
        held.release()
        (held,) = [slot for slot in waiting if slot.is_taken]
        order.append(held)

    assert told == {slot: number for number, slot in enumerate(order)}


def test_the_oldest_recovery_of_a_queue_follows_the_one_that_is_running() -> None:
    first, late, early = place("first", "tts", after=9), place("late", "tts", after=5), place("early", "tts", after=1)
    queues = standing(first, late, early)

    assert queues.ahead_of(first) is None
    assert queues.ahead_of(late) == (("team", "media", "tts"), first)
    queues.leave(first)

    assert queues.ahead_of(early) is None
    assert queues.ahead_of(late) == (("team", "media", "tts"), early)


def test_queues_and_targets_do_not_wait_for_each_other() -> None:
    places = [place("tts", "tts"), place("mail", "mail"), place("same-name", "tts", target="another")]
    queues = standing(*places)

    assert [queues.ahead_of(each) for each in places] == [None, None, None]


def test_one_of_every_queue_waits_for_each_and_keeps_nobody_waiting_until_it_begins() -> None:
    tts, every, mail = place("tts", "tts"), place("every", "mail", "tts"), place("mail", "mail")
    queues = standing(tts, every, mail)

    assert queues.ahead_of(mail) is None
    queues.leave(mail)
    assert queues.ahead_of(every) == (("team", "media", "tts"), tts)
    queues.leave(tts)
    assert queues.ahead_of(every) is None


def test_who_leaves_the_line_without_its_turn_changes_nothing_for_the_others() -> None:
    first, second, third = (place(name, "tts", after=number) for number, name in enumerate("abc"))
    queues = standing(first, second, third)

    queues.leave(second)
    queues.leave(first)

    assert queues.ahead_of(third) is None


def join(turn: Turn, name: str = "one", *, after: int = 0) -> None:
    turn.join_lock_queues([("team", "media", "tts")], created=NOW + timedelta(seconds=after), name=f"team/{name}")


def test_who_is_granted_a_slot_or_the_first_place_is_called_once() -> None:
    called: list[str] = []
    slots = Slots(1)
    taken, asked = slots.take("a"), slots.request("b")
    asked.granted = lambda: called.append("slot")
    first, second = place("first", "tts"), place("second", "tts", after=1)
    queues = standing(first, second)
    second.granted = lambda: called.append("place")

    taken.release()
    queues.leave(first)
    queues.leave(second)

    assert called == ["slot", "place"]


def test_a_recovery_that_has_to_wait_is_told_how_many_come_before_it_and_called() -> None:
    admission = Admission(1)
    begun, next_one, last = Turn(admission, "one"), Turn(admission, "two"), Turn(admission, "two")
    begun.take_drain_slot()
    with pytest.raises(AwaitingTurn, match="next in the queue"):
        next_one.check_drain_slot()
    with pytest.raises(AwaitingTurn, match="1 recovery is ahead"):
        last.check_drain_slot()
    called: list[int] = []
    next_one.call_when_granted(lambda: called.append(1))
    assert (next_one.has_moved, last.has_moved) == (False, False)

    begun.leave()

    assert called == [1]
    assert next_one.awaits is None
    next_one.check_drain_slot()
    assert last.has_moved


def test_a_recovery_of_the_same_queue_is_told_which_one_comes_first_and_called() -> None:
    admission = Admission(9)
    turns = [Turn(admission, "team") for _ in range(3)]
    for number, turn in enumerate(turns):
        join(turn, f"number-{number}", after=number)
    first, second, third = turns
    first.check_queue_position()
    for turn in (second, third):
        with pytest.raises(AwaitingTurn, match='queue "tts" is held by recovery "team/number-0"'):
            turn.check_queue_position()
    called: list[int] = []
    second.call_when_granted(lambda: called.append(2))
    third.call_when_granted(lambda: called.append(3))
    assert (second.has_moved, third.has_moved) == (False, False)

    first.leave()

    assert called == [2]
    second.check_queue_position()
    assert third.has_moved


def test_one_that_waits_to_prepare_is_called_when_it_may_although_others_are_before_it_in_line() -> None:
    admission = Admission(1)
    preparing = [Turn(admission, f"team-{number}") for number in range(8)]
    assert all(turn.may_prepare() for turn in preparing)
    first, second = Turn(admission, "team"), Turn(admission, "team")
    join(first)
    join(second, after=1)
    called: list[int] = []
    assert not second.may_prepare()
    second.call_when_granted(lambda: called.append(1))

    preparing[0].stop_preparing()

    assert called == [1]
    assert second.may_prepare()


def test_a_crowd_that_prepares_in_one_namespace_lets_another_one_prepare() -> None:
    admission = Admission(4)
    crowd = [Turn(admission, "crowd") for _ in range(20)]

    assert 0 < sum(turn.may_prepare() for turn in crowd) < len(crowd)
    assert Turn(admission, "team").may_prepare()


def test_a_crowd_that_stops_its_workers_goes_one_by_one_and_delays_no_other_namespace() -> None:
    admission = Admission(99)
    crowd = [round(Turn(admission, "crowd").stop_delay(), 1) for _ in range(7)]

    assert crowd == [0, 0, 1, 2, 3, 4, 5]
    assert Turn(admission, "team").stop_delay() == 0


def test_who_leaves_lets_others_prepare_and_stop_their_workers() -> None:
    admission = Admission(1)
    turns = [Turn(admission, "team") for _ in range(20)]
    turns[0].take_drain_slot()
    for turn in turns:
        turn.may_prepare()
    with pytest.raises(AwaitingTurn):
        turns[-1].check_drain_slot()

    for turn in turns[:-1]:
        turn.leave()

    assert turns[-1].may_prepare()
    turns[-1].check_drain_slot()


@pytest.mark.parametrize(("waiting", "seconds"), [(0, 30), (100, 30), (121, 30), (5000, 1249.75)])
def test_however_many_wait_four_a_second_say_again_which_ones_come_before_them(waiting: int, seconds: float) -> None:
    admission = Admission(1)
    turns = [Turn(admission, "team") for _ in range(max(1, waiting))]
    for number, turn in enumerate(turns):
        join(turn, f"number-{number}", after=number)

    assert turns[-1].report_interval == seconds
