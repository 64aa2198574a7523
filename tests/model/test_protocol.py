"""The protocol holds in every order in which things can happen, and none of its parts can be left out.

The model follows the order of effects in `operator/queue_recovery`; where that changes, it has to change too.
"""

from collections.abc import Mapping
from typing import get_args

import pytest

from tests.model.explore import Found, explore
from tests.model.properties import Violation
from tests.model.protocol import EFFECTS
from tests.model.state import OLD, Claimed, Job, Message, Process, Run, State, Status, beginning, in_order
from tests.model.view import Part, View

TWO_OPERATORS = beginning()
ONE_CANCELLED = beginning()._replace(cancels=1)
OLD_MESSAGE_ENDS = beginning()._replace(cancels=1, retries=False)
TWO_RECOVERIES = beginning(operators=(0, 0, 1), old=0)
FIRST_OF_TWO_CANCELLED = beginning(operators=(0, 1), old=0)._replace(cancels=1)
TWO_JOBS = beginning(jobs=2, old=0)._replace(cancels=1)
PRODUCER = beginning(jobs=0, old=0)._replace(producers=1, retries=False)
SOMEBODY_SCALES = beginning()._replace(scalings=2)
SOMEBODY_REPLACES = beginning()._replace(replacements=1)
AUTOSCALED = beginning()._replace(autoscales=True)
DENIED = AUTOSCALED._replace(denials=1, cancels=1)
"""The API server denies every change of the autoscaler from some moment on."""
RIVAL = beginning(old=0)._replace(rivals=1, cancels=1)
BROKER_GOES = beginning(old=0)._replace(outages=1, cancels=1)
BROKER_FORGETS = beginning()._replace(losses=1)
DELETED = beginning(old=0)._replace(deletions=1)
HAS_ANOTHER_FINALIZER = DELETED._replace(other_finalizer=True, strippings=1)
REMOVED = beginning(operators=(0, 1), old=0)._replace(removals=1)
REMOVED_AUTOSCALED = REMOVED._replace(autoscales=True)
COPIED = beginning(operators=(0, 1))._replace(is_copy=True, removals=1)
"""A recovery that is removed, by force or once it has ended, and created again with the same name and spec."""
_LEFT = beginning(operators=(0, 1), old=0)._replace(processes=(Process(0), Process(0)), vanished=1, lock=1, cancels=1)
LEFT_AT_ZERO = _LEFT._replace(
    statuses=(Status(), Status(step="draining")), runs=(Run(), Run("preparing")), note=1, replicas=0, pods=0
)
"""Nobody works any more on a recovery that was removed by force while its workers stopped."""
LEFT_TO_ONE_THAT_STOPS_NONE = LEFT_AT_ZERO._replace(takes_none=(0,))
LEFT_PAUSED = LEFT_AT_ZERO._replace(autoscales=True, paused=1)
LEFT_PAUSED_TO_ONE_THAT_STOPS_NONE = LEFT_PAUSED._replace(takes_none=(0,))
LEFT_CLAIMED = _LEFT._replace(
    statuses=(Status(), Status(step="restarted")),
    runs=(Run(), Run("purged", attempt=1, complete=1, seen=(Claimed("failed", OLD),))),
    jobs=(Job("pending", "new1", ("none", Claimed("failed", OLD))),),
)
"""Nor on one that had taken a job up and not enqueued it."""
LOCK_COMES_BACK = beginning(operators=(0, 1), old=0)._replace(
    processes=(Process(0), Process(0)),
    statuses=(Status(), Status(step="reenqueued", ending="Succeeded", over=True, enqueued=(0,))),
    runs=(Run(), Run("closed", was_purged=True, attempt=1, complete=1, seen=(Claimed("failed", OLD),), markers=(0,))),
    jobs=(Job("pending", "new1", ("none", Claimed("failed", OLD))),),
    queue=(Message("new1", 0),),
    sent=(Message("new1", 0),),
    failovers=1,
)
"""The last recovery has ended, and its job waits for a worker."""
SELECTS = beginning(old=2)._replace(back=(1,), cancels=1)
"""The second message is not selected."""
SELECTS_IN_ORDER = in_order(back=(0, 2), messages=3)._replace(producers=1, cancels=1)
RESTORES = in_order(back=(0, 1, 3), messages=4, old=2)._replace(producers=1, cancels=1, expirations=1)
LOSES_A_LIST = beginning(operators=(0,), jobs=0, old=2)._replace(
    back=(1,), hands=(), unacked=(), queue=(Message(OLD, 0), Message(OLD, 1)), evictions=1, cancels=1, deaths=1
)
"""The broker may lose the list while it is sorted, or what goes back before it is in the queue."""
LOSES_A_LIST_OF_A_RESTORE = in_order(back=(0, 1), messages=3, old=1)._replace(
    processes=(Process(0),), producers=1, cancels=1, deaths=1, evictions=1
)
LEFT_SORTING = _LEFT._replace(
    statuses=(Status(), Status(step="drained")),
    runs=(Run(), Run("purged", attempt=1, sorting=True, unsorted=(Message(OLD, 1),), set_aside=(Message(OLD, 2),))),
    processes=(Process(0),),
    jobs=(),
    sent=(Message(OLD, 1), Message(OLD, 2)),
    back=(2,),
    deaths=1,
    evictions=1,
)
"""Nobody works any more on a recovery that was removed by force while it sorted."""
REDELIVERS = beginning(jobs=0, old=2)._replace(
    redelivers=(0,), takes_none=(0,), hands=(), retries=False, crashes=1, cancels=1
)
"""A worker that was killed has left the first message in `unacked`, and the second waits; one may be killed again."""
RESTARTS = beginning(jobs=0, old=2)._replace(restarts=(0,), takes_none=(0,), retries=False, cancels=1)
"""The worker is restarted although it runs; what it held may come back by a restore sweep."""
POD_VANISHES = beginning()._replace(vanishings=1)
PROCESS_OUTLIVES_ITS_GRACE = POD_VANISHES._replace(outlives=True, retries=False)

ENQUEUED = ("Succeeded", (0,))
SKIPPED = ("Succeeded", ())
CANCELLED_BEFORE = ("Cancelled", ())
CANCELLED_AFTER = ("Cancelled", (0,))


def with_one_operator_that_dies_twice(start: State) -> State:
    """Return the same beginning for one process at a time."""
    return start._replace(processes=start.processes[:1], deaths=2)


def held(start: State, *, one_by_one: bool = False) -> Found:
    """Explore the whole protocol, and return what was found: nothing wrong."""
    found = explore(start, one_by_one=one_by_one)
    assert found.violation is None, "\n".join((found.violation, *found.trace))
    return found


@pytest.mark.thorough
def test_two_operators_enqueue_the_job_once_wherever_they_are_held_up_or_die() -> None:
    found = held(TWO_OPERATORS._replace(deaths=3))  # every state with fewer deaths is among these

    assert found.endings == {(ENQUEUED,)}
    assert found.states > 5_000


@pytest.mark.thorough
def test_a_cancel_at_any_moment_leaves_each_job_enqueued_or_given_back() -> None:
    assert held(ONE_CANCELLED._replace(deaths=1)).endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "start",
    [OLD_MESSAGE_ENDS, beginning(operators=(0,), old=2)._replace(cancels=1, deaths=2, retries=False)],
    ids=["two operators, one message", "one operator that dies twice, two messages"],
)
def test_each_old_message_is_executed_kept_or_quarantined(start: State) -> None:
    # The job is skipped where the old message was executed before the drain.
    assert held(start).endings == {(ENQUEUED,), (SKIPPED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.thorough
def test_a_second_recovery_of_the_queue_waits_for_the_end_of_the_first() -> None:
    # Both enqueue the job where it has failed again in between; else the later one skips it.
    assert held(TWO_RECOVERIES).endings == {(ENQUEUED, ENQUEUED), (ENQUEUED, SKIPPED), (SKIPPED, ENQUEUED)}


@pytest.mark.thorough
def test_a_second_recovery_takes_up_what_a_cancelled_one_has_given_back() -> None:
    found = held(FIRST_OF_TWO_CANCELLED._replace(deaths=1))

    assert (CANCELLED_BEFORE, ENQUEUED) in found.endings
    assert (CANCELLED_BEFORE, SKIPPED) not in found.endings


@pytest.mark.thorough
@pytest.mark.parametrize("one_by_one", [True, False])
def test_a_cancel_among_several_jobs_enqueues_some_of_them_and_gives_the_others_back(*, one_by_one: bool) -> None:
    found = held(TWO_JOBS, one_by_one=one_by_one)

    assert ((("Cancelled", (0,)),) in found.endings) is one_by_one
    assert {(("Succeeded", (0, 1)),), (("Cancelled", (0, 1)),), (CANCELLED_BEFORE,)} <= found.endings


@pytest.mark.parametrize("place", ["move unacked", "pass the boundary"])
def test_nothing_is_taken_for_a_run_that_has_markers_before_its_queue_is_taken(place: str) -> None:
    # Only another client can have written them, so exploring from here would find the figures that they make wrong.
    start = beginning(operators=(0,))._replace(lock=0, runs=(Run("preparing", markers=(0,)),))
    process = Process(0, place, tags=start.unacked)

    outcome = EFFECTS[place](View(start, process, frozenset(), one_by_one=False))

    assert outcome is not None
    after, then = outcome
    assert (after, then.at) == (start, "end as failed")


@pytest.mark.thorough
def test_what_a_producer_sends_after_the_boundary_stays_in_its_workers_hands() -> None:
    assert held(PRODUCER._replace(cancels=1)).endings == {(SKIPPED,), (CANCELLED_BEFORE,)}


@pytest.mark.thorough
def test_workers_that_somebody_else_scales_are_drained_again() -> None:
    assert held(SOMEBODY_SCALES).endings == {(ENQUEUED,)}


@pytest.mark.thorough
def test_workers_that_somebody_replaces_are_drained_again() -> None:
    assert held(SOMEBODY_REPLACES._replace(cancels=1)).endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.parametrize(
    "start", [AUTOSCALED, with_one_operator_that_dies_twice(AUTOSCALED)], ids=["two operators", "deaths"]
)
def test_an_autoscaler_is_paused_while_the_workers_are_at_0_and_unpaused_at_every_ending(start: State) -> None:
    assert held(start._replace(cancels=1)).endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


def test_an_ending_does_not_wait_for_an_autoscaler_that_may_not_be_changed_and_says_what_is_still_paused() -> None:
    one_operator = DENIED._replace(processes=(Process(0),), deaths=1)

    assert held(one_operator).endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.thorough
def test_nor_does_it_with_two_operators() -> None:
    assert held(DENIED).endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "start",
    [REMOVED_AUTOSCALED, LEFT_PAUSED, LEFT_PAUSED_TO_ONE_THAT_STOPS_NONE],
    ids=["at any moment", "while the workers stop", "before one that stops none"],
)
def test_the_next_one_unpauses_what_one_has_paused_that_was_removed_by_force(start: State) -> None:
    held(start)


@pytest.mark.thorough
def test_a_job_that_the_application_enqueues_itself_gets_no_second_message() -> None:
    found = held(RIVAL)

    assert found.endings == {(ENQUEUED,), (SKIPPED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


def test_workers_come_back_although_the_broker_is_gone_for_good() -> None:
    held(BROKER_GOES)


def test_a_record_that_the_broker_has_lost_leaves_no_lock_and_no_stopped_workers() -> None:
    assert (("In doubt", ()),) in held(BROKER_FORGETS).endings


@pytest.mark.thorough
def test_a_deletion_at_any_moment_waits_for_what_was_touched_and_for_nothing_else() -> None:
    gone_at_once = ("", ())

    endings = held(DELETED._replace(deaths=1)).endings

    assert endings == {(gone_at_once,), (ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.thorough
def test_one_that_lost_its_finalizer_and_is_kept_by_anothers_is_ended_as_any_that_is_deleted() -> None:
    endings = held(HAS_ANOTHER_FINALIZER._replace(deaths=1)).endings

    assert endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.thorough
def test_what_a_recovery_leaves_that_was_removed_by_force_is_taken_over_by_the_next_one() -> None:
    endings = held(REMOVED._replace(deaths=1)).endings

    assert {next_one for next_one, removed in endings if removed[0] in {"", "Cancelled"}} == {ENQUEUED, SKIPPED}


@pytest.mark.thorough
def test_a_copy_does_nothing_if_the_first_one_took_or_enqueued_anything_and_runs_otherwise() -> None:
    endings = held(COPIED._replace(deaths=1)).endings

    executed = ("Already executed", ())
    assert {(executed, ENQUEUED), (executed, ("", ())), (ENQUEUED, ("", ()))} <= endings
    assert (ENQUEUED, ENQUEUED) not in endings


@pytest.mark.thorough
def test_an_old_message_is_in_one_place_when_a_recovery_was_removed_by_force() -> None:
    held(beginning(operators=(0, 1))._replace(removals=1))


@pytest.mark.thorough
def test_a_next_one_that_is_cancelled_brings_the_workers_back_of_one_that_was_removed_by_force() -> None:
    endings = {next_one for next_one, _ in held(LEFT_AT_ZERO._replace(deaths=1)).endings}

    assert endings == {ENQUEUED, CANCELLED_BEFORE, CANCELLED_AFTER}


def test_a_next_one_that_stops_no_workers_brings_those_back_of_one_that_was_removed_by_force() -> None:
    endings = {next_one for next_one, _ in held(LEFT_TO_ONE_THAT_STOPS_NONE._replace(deaths=1)).endings}

    assert endings == {ENQUEUED, CANCELLED_BEFORE, CANCELLED_AFTER}


@pytest.mark.thorough
def test_the_next_one_enqueues_the_jobs_that_one_had_claimed_that_was_removed_by_force() -> None:
    endings = {next_one for next_one, _ in held(LEFT_CLAIMED._replace(deaths=1)).endings}

    assert endings == {ENQUEUED, CANCELLED_BEFORE, CANCELLED_AFTER}


@pytest.mark.thorough
def test_a_lock_that_comes_back_is_taken_over_and_the_job_of_the_ended_recovery_left_alone() -> None:
    endings = {next_one for next_one, _ in held(LOCK_COMES_BACK._replace(rivals=1)).endings}

    # The job has failed again by the time of the next recovery, or waits, or is done.
    assert endings == {ENQUEUED, SKIPPED}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "start", [SELECTS, with_one_operator_that_dies_twice(SELECTS)], ids=["two operators", "deaths"]
)
def test_messages_that_are_not_selected_are_in_the_queue_again_at_every_ending(start: State) -> None:
    assert held(start).endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "start", [SELECTS_IN_ORDER, with_one_operator_that_dies_twice(SELECTS_IN_ORDER)], ids=["two operators", "deaths"]
)
def test_messages_that_are_not_selected_come_back_in_their_order_and_all_at_once(start: State) -> None:
    assert held(start).endings == {(SKIPPED,), (CANCELLED_BEFORE,)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    "start", [RESTORES, with_one_operator_that_dies_twice(RESTORES)], ids=["two operators", "deaths"]
)
def test_restored_messages_come_back_in_their_order_and_all_at_once(start: State) -> None:
    endings = {restoring for restoring, _ in held(start).endings}

    # Cancelled half-way, it puts back what it has sorted out by then, and what expired before is not there.
    assert {("Succeeded", (0, 1, 3)), ("Cancelled", (3,)), ("Cancelled", ()), ("Failed", ())} <= endings


@pytest.mark.parametrize(
    "start", [LOSES_A_LIST, LOSES_A_LIST_OF_A_RESTORE, LEFT_SORTING], ids=["purge", "restore", "one that is gone"]
)
def test_a_recovery_ends_and_fails_when_the_broker_loses_a_list_that_it_sorts(start: State) -> None:
    assert {first for (first, _), *_ in held(start).endings} == {"Succeeded", "Cancelled", "Failed"}


@pytest.mark.parametrize(
    "start",
    [pytest.param(REDELIVERS, marks=pytest.mark.thorough), with_one_operator_that_dies_twice(REDELIVERS)],
    ids=["two operators", "deaths"],
)
def test_what_nobody_holds_is_given_back_and_nothing_leaves_a_workers_hands(start: State) -> None:
    endings = {first for (first, *_) in held(start).endings}

    # A sweep may come first, and the second message may be left by a worker that is killed.
    assert {("Succeeded", (0,)), ("Succeeded", ()), ("Succeeded", (0, 1)), CANCELLED_BEFORE} <= endings


@pytest.mark.parametrize(
    "start",
    [pytest.param(RESTARTS, marks=pytest.mark.thorough), with_one_operator_that_dies_twice(RESTARTS)],
    ids=["two operators", "deaths"],
)
def test_workers_are_restarted_once_and_not_after_the_end(start: State) -> None:
    assert {first for (first, *_) in held(start).endings} >= {SKIPPED, CANCELLED_BEFORE}


@pytest.mark.thorough
def test_a_pod_that_was_not_seen_to_end_counts_as_ended_after_its_grace_period() -> None:
    assert held(POD_VANISHES._replace(deaths=1)).endings == {(ENQUEUED,)}
    assert held(POD_VANISHES._replace(cancels=1)).endings == {(ENQUEUED,), (CANCELLED_BEFORE,), (CANCELLED_AFTER,)}


def test_a_process_that_outlives_its_grace_period_strands_no_job_and_loses_no_message() -> None:
    assert held(PROCESS_OUTLIVES_ITS_GRACE).endings == {(ENQUEUED,), (SKIPPED,)}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("start", "violation"),
    [
        (PROCESS_OUTLIVES_ITS_GRACE, "message taken from a worker's hands"),
        (PROCESS_OUTLIVES_ITS_GRACE._replace(cancels=1), "double execution"),
        (PROCESS_OUTLIVES_ITS_GRACE._replace(retries=True), "two messages of one job"),
    ],
    ids=["executes what is taken", "executes what is given back", "retries what is taken"],
)
def test_what_a_process_that_outlives_its_grace_period_does_cannot_be_prevented(
    start: State, violation: Violation
) -> None:
    found = explore(start, seeking=violation, alone=True)

    assert found.violation == violation
    assert "the grace period of the pod is over" in found.trace


BROKEN: list[tuple[str, set[Part], State, Violation]] = [
    (
        "marker and run deleted when the recovery ends: a late writer pushes again",
        {"end: keeps the run", "push: only while the run is open"},
        TWO_OPERATORS,
        "double push",
    ),
    (
        "run deleted when the recovery ends: a late opener takes the lock",
        {"end: keeps the run"},
        TWO_OPERATORS,
        "lock left behind",
    ),
    (
        "no closing gate: a late opener takes the lock",
        {"end: closes the run"},
        ONE_CANCELLED,
        "lock left behind",
    ),
    (
        "no closing gate: a job is pushed that was given back and has found somebody else",
        {"end: closes the run"},
        RIVAL,
        "two messages of one job",
    ),
    (
        "a closed run may push: the final status said that it would not",
        {"push: only while the run is open"},
        ONE_CANCELLED,
        "wrong figures",
    ),
    (
        "a closed run may push: a job that was given back and has found somebody else",
        {"push: only while the run is open"},
        RIVAL,
        "two messages of one job",
    ),
    ("no marker", {"push: only without a marker"}, TWO_OPERATORS, "double push"),
    ("no marker: both messages run", {"push: only without a marker"}, TWO_OPERATORS, "double execution"),
    ("no settling", {"end: settles what was not pushed"}, ONE_CANCELLED, "stranded job"),
    ("un-claiming only", {"end: stamps what was never claimed"}, ONE_CANCELLED, "stranded job"),
    ("un-claiming removes the stamp", {"end: keeps the stamp of what it gives back"}, ONE_CANCELLED, "stranded job"),
    (
        "a claim tests the status only",
        {"claim: with the task id as seen", "claim: never over a stamp"},
        TWO_OPERATORS,
        "stranded job",
    ),
    ("a claim does not look at stamps", {"claim: never over a stamp"}, ONE_CANCELLED, "stranded job"),
    (
        "a claim tests neither status nor task id",
        {"claim: with the status as seen", "claim: with the task id as seen"},
        RIVAL,
        "two messages of one job",
    ),
    ("pushed before it is claimed", {"claim: before the push"}, TWO_OPERATORS, "stranded job"),
    ("lock not looked at", {"open: only while the lock is free"}, TWO_RECOVERIES, "two recoveries at once"),
    (
        "scaling write without resourceVersion",
        {"scale: only as it was seen"},
        TWO_OPERATORS,
        "workers left at 0",
    ),
    (
        "scaling write after a look at the workers but not at the status",
        {"scale: only while the status is unchanged"},
        TWO_OPERATORS,
        "workers left at 0",
    ),
    (
        "an ending that finds no note leaves the resourceVersion as it is",
        {"restore: moves the version on without a note too"},
        ONE_CANCELLED,
        "workers left at 0",
    ),
    (
        "a pause without resourceVersion: one that comes late",
        {"pause: only as it was seen"},
        AUTOSCALED,
        "autoscaler left paused",
    ),
    (
        "a pause that the status does not name",
        {"pause: recorded before it is written"},
        AUTOSCALED,
        "autoscaler left paused",
    ),
    (
        "workers are scaled before the autoscaler is paused",
        {"pause: before the workers are scaled"},
        AUTOSCALED,
        "autoscaler not paused during the drain",
    ),
    (
        "an ending that finds no pause leaves the autoscaler's resourceVersion as it is",
        {"unpause: moves the version on without a pause too"},
        AUTOSCALED._replace(cancels=1),
        "autoscaler left paused",
    ),
    (
        "one that has ended is not taken over",
        {"take over: one that has ended, too"},
        LOCK_COMES_BACK,
        "recovery without end",
    ),
    (
        "an ending that waits for an autoscaler that it may not change",
        {"end: does not wait for an autoscaler that may not be changed"},
        DENIED,
        "recovery without end",
    ),
    (
        "an ending that does not say which autoscaler may still be paused",
        {"end: says which autoscaler may still be paused"},
        DENIED,
        "autoscaler left paused",
    ),
    (
        "a next one that stops no workers leaves the autoscaler paused of one that is gone",
        {"take over: unpauses where it stops none"},
        LEFT_PAUSED_TO_ONE_THAT_STOPS_NONE,
        "autoscaler left paused",
    ),
    (
        "final status before workers",
        {"end: workers before the final status"},
        BROKER_GOES,
        "workers left at 0",
    ),
    (
        "workers before late takers are refused: a message leaves a worker's hands",
        {"end: refuses late takers before the workers come back"},
        ONE_CANCELLED,
        "message taken from a worker's hands",
    ),
    (
        "workers before late takers are refused: it is given back after it has run",
        {"end: refuses late takers before the workers come back"},
        OLD_MESSAGE_ENDS,
        "double execution",
    ),
    ("lists before unacked", {"take: unacked before the lists"}, TWO_OPERATORS, "old message left behind"),
    (
        "entries are moved after the attempt is complete",
        {"take: refused once complete"},
        PRODUCER,
        "message taken from a worker's hands",
    ),
    (
        "an attempt that is disturbed begins again with the next drain",
        {"take: completes an attempt that consumers disturb"},
        SOMEBODY_SCALES,
        "old message left behind",
    ),
    (
        "messages of jobs that the second recovery skips are taken",
        {"take: leaves the messages of skipped jobs"},
        TWO_RECOVERIES,
        "message of a skipped job taken",
    ),
    ("generation not recorded", {"drain: the generation is recorded"}, SOMEBODY_SCALES, "old message left behind"),
    ("status written over any other", {"status: written over the known one only"}, ONE_CANCELLED, "lock left behind"),
    (
        "no finalizer before the intent",
        {"finalizer: before the intent"},
        DELETED._replace(deaths=1),
        "workers left at 0",
    ),
    (
        "a finalizer is removed that another process has come to need",
        {"finalizer: removed only while it is not needed"},
        DELETED._replace(deaths=1),
        "workers left at 0",
    ),
    (
        "an ending waits for a finalizer that cannot be added",
        {"finalizer: not needed for an ending where it cannot be added"},
        HAS_ANOTHER_FINALIZER,
        "recovery without end",
    ),
    (
        "a recovery that exists is taken over",
        {"take over: only what is gone"},
        REMOVED,
        "recovery ended by another one",
    ),
    (
        "the job is given back of one that has ended: the application enqueues it, and the first message is there",
        {"take over: settles only for one that is gone"},
        LOCK_COMES_BACK._replace(rivals=1),
        "two messages of one job",
    ),
    (
        "a late process of one that is gone opens again",
        {"take over: closes the run"},
        REMOVED,
        "two recoveries at once",
    ),
    (
        "jobs of one that is gone are not settled",
        {"take over: settles what was not pushed"},
        LEFT_CLAIMED,
        "stranded job",
    ),
    (
        "a next one that stops no workers leaves those of one that is gone",
        {"take over: brings the workers back where it stops none"},
        LEFT_TO_ONE_THAT_STOPS_NONE,
        "workers left at 0",
    ),
    (
        "the replicas that the next one has seen are given back",
        {"take over: with the recorded replicas"},
        LEFT_AT_ZERO,
        "workers left at 0",
    ),
    (
        "a next one that is cancelled before it has recorded itself leaves the note of one that is gone",
        {"take over: recorded for the ending"},
        LEFT_AT_ZERO,
        "workers left at 0",
    ),
    (
        "a copy begins although the ledger names the first one",
        {"ledger: a copy of what was executed does not begin"},
        COPIED,
        "copy of what was executed did something",
    ),
    (
        "a copy leaves the workers of one that was removed by force at 0",
        {"ledger: such a copy finishes what was left"},
        COPIED._replace(deaths=1),
        "workers left at 0",
    ),
    (
        "what is taken is marked too late",
        {"ledger: marked before anything is taken or claimed"},
        COPIED,
        "copy of what was executed did something",
    ),
    (
        "the entry is removed of one that has done something",
        {"ledger: removed only if nothing was done"},
        COPIED,
        "copy of what was executed did something",
    ),
    (
        "messages that are not selected are taken",
        {"take: leaves what is not selected"},
        SELECTS,
        "message taken that was not selected",
    ),
    (
        "a late process sorts a message that it has not read: one is left that was selected",
        {"sort: only as it was read"},
        SELECTS,
        "old message left behind",
    ),
    (
        "a late process sorts a message that it has not read: one is taken that was not selected",
        {"sort: only as it was read"},
        SELECTS_IN_ORDER,
        "message taken that was not selected",
    ),
    (
        "messages that are not selected come back one by one",
        {"bring back: all of it in one step"},
        SELECTS_IN_ORDER,
        "messages brought back in part",
    ),
    (
        "restored messages come back one by one",
        {"bring back: all of it in one step"},
        RESTORES,
        "messages brought back in part",
    ),
    (
        "messages that are not selected come back behind newer ones",
        {"bring back: before what producers have sent"},
        SELECTS_IN_ORDER,
        "messages brought back out of order",
    ),
    (
        "an ending leaves what a selection has set aside",
        {"end: brings back what is sorted out"},
        SELECTS,
        "message hidden for good",
    ),
    (
        "an ending leaves what a restore has set aside",
        {"end: brings back what is sorted out"},
        RESTORES,
        "message hidden for good",
    ),
    (
        "a late process restores after the end",
        {"restore: only while the run is open"},
        RESTORES,
        "message hidden for good",
    ),
    (
        "what a running process holds is given back",
        {"redeliver: only what no running process can hold"},
        REDELIVERS,
        "message taken from a worker's hands",
    ),
    (
        "the workers are looked at before the messages: one is taken in between",
        {"redeliver: looks at the workers after the messages"},
        REDELIVERS,
        "message taken from a worker's hands",
    ),
    (
        "an entry is given back that was delivered again since it was read",
        {"redeliver: only the delivery that was read"},
        REDELIVERS,
        "message taken from a worker's hands",
    ),
    (
        "a late process gives back after the end",
        {"redeliver: only while the run is open"},
        REDELIVERS,
        "wrong figures",
    ),
    (
        "an entry is removed, and its message pushed in another step",
        {"redeliver: in one step"},
        REDELIVERS,
        "message lost",
    ),
    (
        "an operator restarts the workers at a time of its own",
        {"restart: with one time for all of its processes"},
        RESTARTS,
        "workers restarted twice",
    ),
    (
        "a late process does not read the status before it restarts",
        {"restart: only while the status is unchanged"},
        RESTARTS,
        "workers restarted after the end",
    ),
    (
        "a restart is sent without the version that was seen",
        {"restart: only as it was seen"},
        RESTARTS,
        "workers restarted twice",
    ),
    (
        "an ending leaves the version that a late restart has seen",
        {"end: refuses late restarts"},
        RESTARTS,
        "workers restarted after the end",
    ),
    (
        "a quarantine expires while it is restored",
        {"retention: not while a restore works on it"},
        RESTORES,
        "message lost",
    ),
    (
        "a pod that was not seen to end counts as ended at once",
        {"drain: a pod that was not seen to end has its grace period"},
        POD_VANISHES,
        "message taken from a worker's hands",
    ),
    (
        "an ending does not write off what the broker has lost",
        {"end: writes off what the broker has lost"},
        LOSES_A_LIST_OF_A_RESTORE,
        "recovery without end",
    ),
    (
        "the list of one that is gone is not written off",
        {"end: writes off what the broker has lost"},
        LEFT_SORTING,
        "recovery without end",
    ),
    (
        "a cancelled recovery does not say what was written off",
        {"end: fails if it has written something off"},
        LOSES_A_LIST,
        "loss not reported",
    ),
    ("lock not released in doubt", {"end: releases the lock in doubt too"}, BROKER_FORGETS, "lock left behind"),
]


FIRST: Mapping[Violation, str] = {violation: name for name, _, _, violation in reversed(BROKEN)}
"""The first row of each violation, which `make test` finds; `make thorough-test` finds them by all the others too."""


@pytest.mark.parametrize(
    ("parts", "start", "violation"),
    [
        pytest.param(
            parts,
            start,
            violation,
            id=name.replace(" ", "-"),
            marks=[] if FIRST[violation] == name else [pytest.mark.thorough],
        )
        for name, parts, start, violation in BROKEN
    ],
)
def test_without_one_of_its_parts_the_protocol_breaks(parts: set[Part], start: State, violation: Violation) -> None:
    found = explore(start, without=frozenset(parts), seeking=violation)

    assert found.violation == violation
    assert found.trace


def test_every_part_is_taken_out_once() -> None:
    assert set().union(*(parts for _, parts, _, _ in BROKEN)) == set(get_args(Part))


def test_a_violation_comes_with_the_shortest_way_to_it() -> None:
    found = explore(TWO_RECOVERIES, without=frozenset({"open: only while the lock is free"}))

    assert found.trace == (
        "recovery 0, known to be planned: read the status",
        "recovery 0, known to be planned: lock",
        "recovery 0, known to be planned: add the finalizer",
        "recovery 0, known to be planned: write the intent",
        "recovery 1, known to be planned: read the status",
        "recovery 1, known to be planned: lock",
        "recovery 0, known to be draining: open",
        "recovery 1, known to be planned: add the finalizer",
        "recovery 1, known to be planned: write the intent",
        "recovery 1, known to be draining: open",
    )
