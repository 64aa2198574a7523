"""A sample of the campaign (`make chaos` runs all of it): all invariants hold in the end."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.chaos import plans, report
from tests.chaos.cases import Case, Trouble
from tests.chaos.crowd import run_crowd
from tests.chaos.points import Crossing, Fault, Point
from tests.chaos.servers import Servers
from tests.chaos.troubles import run

SEED = 2026
AT_ONCE = 4


async def in_order(servers: Servers, cases: Sequence[Case]) -> None:
    """Run the cases, some at once: each comes to its points, and all invariants hold afterwards."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def run_one(case: Case) -> None:
        async with slots:
            result = await run(servers, case)
        assert not result.violations, report.evidence(result)
        assert result.reached, report.evidence(result)

    async with asyncio.TaskGroup() as group:
        for case in cases:
            group.create_task(run_one(case))


def sample(steps: Sequence[Crossing], trouble: Trouble, cases: int) -> list[Case]:
    """Choose some cases of a matrix."""
    return plans.chance(SEED).sample(list(plans.matrix(trouble, steps)), cases)


async def test_an_operator_that_is_killed_at_a_step_is_followed_by_one_that_goes_on(
    servers: Servers, steps: list[Crossing]
) -> None:
    await in_order(servers, sample(steps, Trouble.DEATH, 2))


@pytest.mark.thorough
async def test_two_deaths_do_no_more_harm_than_one(servers: Servers, steps: list[Crossing]) -> None:
    await in_order(servers, list(plans.twice(plans.chance(SEED), steps, 1)))


@pytest.mark.thorough
async def test_a_recovery_that_leaves_messages_of_pending_jobs_loses_and_doubles_none(servers: Servers) -> None:
    undisturbed = await run(servers, plans.PENDING)
    assert not undisturbed.violations, report.evidence(undisturbed)
    sorts = plans.sorting(plans.effects(undisturbed.traces[0]))
    troubles = (Trouble.DEATH, Trouble.CANCEL, Trouble.REMOVED)
    matrices = [list(plans.matrix(trouble, sorts, plans.PENDING)) for trouble in troubles]

    await in_order(servers, [plans.chance(SEED).choice(matrix) for matrix in matrices])


@pytest.mark.thorough
async def test_messages_of_pending_jobs_are_left_also_where_the_jobs_are_listed_for_another_queue(
    servers: Servers,
) -> None:
    assert not (undisturbed := await run(servers, plans.PENDING_ELSEWHERE)).violations, report.evidence(undisturbed)
    sort = Point(name="redis sort", number=1, side="before")

    await in_order(servers, [replace(plans.PENDING_ELSEWHERE, trouble=Trouble.DEATH, points=(sort,))])


@pytest.mark.thorough
async def test_a_recovery_that_is_created_again_after_a_death_does_nothing_more(
    servers: Servers, steps: list[Crossing]
) -> None:
    await in_order(servers, sample(steps, Trouble.CREATED_AGAIN, 1))


@pytest.mark.thorough
async def test_a_second_replica_takes_over_where_the_leader_was_killed(servers: Servers, steps: list[Crossing]) -> None:
    await in_order(servers, sample(steps, Trouble.SUCCESSION, 1))


@pytest.mark.thorough
async def test_an_operator_that_wakes_when_all_is_over_changes_nothing(servers: Servers, steps: list[Crossing]) -> None:
    await in_order(servers, sample(steps, Trouble.PAUSE, 1))


@pytest.mark.thorough
async def test_a_spec_that_changes_in_the_middle_of_a_step_is_followed(servers: Servers, steps: list[Crossing]) -> None:
    await in_order(servers, [*sample(steps, Trouble.CANCEL, 1), *sample(steps, Trouble.DELETE, 1)])


@pytest.mark.thorough
async def test_an_answer_that_is_lost_and_a_request_that_comes_late_are_no_second_effect(
    servers: Servers, steps: list[Crossing]
) -> None:
    await in_order(servers, [*sample(steps, Trouble.LOST_ANSWER, 1), *sample(steps, Trouble.LATE, 1)])


@pytest.mark.thorough
async def test_a_job_store_that_dies_at_a_claim_or_refuses_it_has_each_job_enqueued_once(
    servers: Servers, steps: list[Crossing]
) -> None:
    claim = [one for one in steps if one.name == "mongo claim"][:1]
    troubles = (Trouble.CRASH, Trouble.NO_MAJORITY)

    await in_order(servers, [case for trouble in troubles for case in sample(claim, trouble, 1)])


@pytest.mark.thorough
async def test_a_crowd_whose_leader_is_killed_among_them_ends_in_order_and_never_stops_too_many_at_once(
    servers: Servers,
) -> None:
    assert await run_crowd(servers, plans.chance(SEED), recoveries=4, deaths=1) == []


@pytest.mark.thorough
async def test_a_death_beside_the_finalizer_leaves_none_and_loses_none(servers: Servers) -> None:
    points = [Point(name=f"k8s {what} the finalizer", number=1, side="after") for what in ("add", "remove")]

    await in_order(servers, [Case(trouble=Trouble.DEATH, points=(point,)) for point in points])


@pytest.mark.thorough
async def test_a_recovery_that_has_waited_for_the_lock_plans_again_also_after_a_death(
    servers: Servers, steps: list[Crossing]
) -> None:
    undisturbed = await run(servers, plans.WAITING)
    assert not undisturbed.violations, report.evidence(undisturbed)
    more = plans.more(plans.effects(undisturbed.traces[0]), steps)

    names = [one.name for one in more]
    again = [one for one in more if " Locked" in one.name or one.name == "k8s status Planning Planned"]

    assert len(again) == 2, names  # waiting, and planning for the second time
    await in_order(servers, list(plans.matrix(Trouble.DEATH, again, plans.WAITING))[::2])


@pytest.mark.thorough
async def test_workers_that_are_replaced_during_the_drain_are_stopped_too(
    servers: Servers, steps: list[Crossing]
) -> None:
    await in_order(servers, sample(steps, Trouble.REPLACED, 1))


@pytest.mark.thorough
async def test_what_a_recovery_holds_that_is_removed_by_force_is_taken_over_by_the_next_one(
    servers: Servers, steps: list[Crossing]
) -> None:
    await in_order(servers, [*sample(steps, Trouble.REMOVED, 1), *sample(steps, Trouble.REMOVED_LATE, 1)])


@pytest.mark.thorough
async def test_labels_that_somebody_removes_while_the_workers_are_at_0_keep_none_of_them_there(
    servers: Servers,
) -> None:
    drain = Point(name="k8s scale to 0", number=1, side="after", fault=Fault.HOLD)
    # In the drain, KEDA would be paused again; later only the annotation says whose pause it is.
    boundary = Point(name="redis boundary", number=1, side="before", fault=Fault.HOLD)

    await in_order(
        servers,
        [
            Case(trouble=Trouble.UNLABELLED, points=(drain,)),
            replace(plans.STATEFUL, trouble=Trouble.UNLABELLED, points=(boundary,)),
        ],
    )


@pytest.mark.thorough
async def test_a_record_that_another_client_has_forged_keeps_no_worker_at_0_and_no_queue_locked(
    servers: Servers,
) -> None:
    points = {Trouble.FORGED_COUNTER: "redis complete", Trouble.FORGED_MARKER: "redis boundary"}

    await in_order(
        servers,
        [
            Case(trouble=trouble, points=(Point(name=name, number=1, side="before", fault=Fault.HOLD),))
            for trouble, name in points.items()
        ],
    )


@pytest.mark.thorough
async def test_a_lock_that_comes_back_after_its_recovery_has_ended_is_taken_over_and_no_job_with_it(
    servers: Servers,
) -> None:
    push = Point(name="redis push", number=1, side="before", fault=Fault.HOLD)

    await in_order(servers, [Case(trouble=Trouble.LOCK_BACK, points=(push,))])


@pytest.mark.thorough
async def test_a_list_that_the_broker_loses_while_it_is_sorted_is_written_off_and_the_recovery_ends(
    servers: Servers,
) -> None:
    sort = Point(name="redis sort", number=1, side="before", fault=Fault.HOLD)

    await in_order(servers, [replace(plans.PENDING, trouble=Trouble.LIST_LOST, points=(sort,))])


@pytest.mark.thorough
async def test_an_edit_of_the_target_after_a_death_sends_no_message_and_no_claim_elsewhere(servers: Servers) -> None:
    death = Point(name="redis boundary", number=1, side="after")

    await in_order(servers, [replace(plans.PENDING, trouble=Trouble.TARGET_EDITED, points=(death,))])


@pytest.mark.thorough
async def test_a_target_that_is_deleted_and_a_password_that_is_changed_meanwhile_are_waited_for(
    servers: Servers,
) -> None:
    death = Point(name="redis boundary", number=1, side="after")
    held = Point(name="redis move_unacked", number=1, side="before", fault=Fault.HOLD)

    await in_order(
        servers,
        [Case(trouble=Trouble.TARGET_DELETED, points=(death,)), Case(trouble=Trouble.ROTATED, points=(held,))],
    )


@pytest.mark.thorough
async def test_no_job_is_enqueued_while_the_workers_have_another_image_than_the_recovery_requires(
    servers: Servers,
) -> None:
    effects = {"k8s scale back": 1, "mongo claim": 2}
    points = [Point(name=name, number=n, side="before", fault=Fault.HOLD) for name, n in effects.items()]

    await in_order(servers, [Case(trouble=Trouble.ROLLED_BACK, points=(point,)) for point in points])


_ONCE: dict[Trouble, tuple[str, Fault]] = {
    Trouble.DEATH: ("after", Fault.DIE),
    Trouble.OVERTAKEN: ("before", Fault.STOP),
    Trouble.CREATED_AGAIN: ("after", Fault.DIE),
}
"""Where an effect is disturbed that has to take place once, or not at all."""


async def is_done_once(servers: Servers, kind: Case, effect: str) -> None:
    """Run a case with each of these troubles at an effect of one kind of recovery."""
    at = {"name": effect, "number": 1}
    points = {
        trouble: Point.model_validate({**at, "side": side, "fault": fault}) for trouble, (side, fault) in _ONCE.items()
    }

    await in_order(servers, [replace(kind, trouble=trouble, points=(point,)) for trouble, point in points.items()])


@pytest.mark.thorough
async def test_workers_are_restarted_once_where_the_operator_dies_and_not_once_another_one_has_ended_the_recovery(
    servers: Servers,
) -> None:
    await is_done_once(servers, plans.RESTARTING, "k8s restart")


@pytest.mark.thorough
async def test_what_nobody_holds_is_given_back_once_or_not_at_all_where_the_operator_dies_or_is_told_to_stop(
    servers: Servers,
) -> None:
    await is_done_once(servers, plans.REDELIVERING, "redis redeliver")


@pytest.mark.thorough
async def test_a_recovery_that_gives_messages_back_or_restarts_is_followed_by_one_like_it_where_it_is_removed_by_force(
    servers: Servers,
) -> None:
    given = Point(name="redis redeliver", number=1, side="before")
    restarted = Point(name="k8s restart", number=1, side="before", fault=Fault.STOP)

    await in_order(
        servers,
        [
            replace(plans.REDELIVERING, trouble=Trouble.REMOVED, points=(given,)),
            replace(plans.RESTARTING_AND_REDELIVERING, trouble=Trouble.REMOVED_LATE, points=(restarted,)),
        ],
    )


@pytest.mark.thorough
async def test_keda_is_unpaused_and_a_stateful_set_scaled_back_wherever_the_operator_dies_or_is_told_to_stop(
    servers: Servers,
) -> None:
    undisturbed = await run(servers, plans.STATEFUL)
    assert not undisturbed.violations, report.evidence(undisturbed)
    stopping = plans.stopping(plans.effects(undisturbed.traces[0]))
    assert [stopping[0].name, "k8s keda unpause" in [one.name for one in stopping]] == ["k8s keda pause", True]
    pause = Point(name="k8s keda pause", number=1, side="after")
    unpause = Point(name="k8s keda unpause", number=1, side="before")
    held = pause.model_copy(update={"fault": Fault.HOLD})

    await in_order(
        servers,
        [
            replace(plans.STATEFUL, trouble=Trouble.DEATH, points=(unpause,)),
            replace(plans.STATEFUL, trouble=Trouble.CANCEL, points=(held,)),
            replace(plans.STATEFUL, trouble=Trouble.REMOVED, points=(pause,)),
        ],
    )


@pytest.mark.thorough
async def test_a_rollout_is_scaled_back_wherever_the_operator_dies_or_is_told_to_stop(servers: Servers) -> None:
    stop = Point(name="k8s scale to 0", number=1, side="after")
    start = Point(name="k8s scale back", number=1, side="before")
    held = stop.model_copy(update={"side": "before", "fault": Fault.HOLD})

    await in_order(
        servers,
        [
            replace(plans.ROLLOUT, trouble=Trouble.DEATH, points=(start,)),
            replace(plans.ROLLOUT, trouble=Trouble.CANCEL, points=(held,)),
            replace(plans.ROLLOUT, trouble=Trouble.REMOVED, points=(stop,)),
        ],
    )


@pytest.mark.thorough
async def test_an_update_that_begins_meanwhile_gets_its_pods_and_every_message_is_taken_after_it(
    servers: Servers,
) -> None:
    points = [
        Point(name="k8s scale to 0", number=1, side="after", fault=Fault.HOLD),
        Point(name="redis boundary", number=1, side="before", fault=Fault.HOLD),
    ]

    await in_order(servers, [replace(plans.ROLLOUT, trouble=Trouble.UPDATED, points=(one,)) for one in points])


@pytest.mark.thorough
async def test_what_was_approved_runs_and_nothing_else_wherever_the_operator_dies_while_the_target_is_edited(
    servers: Servers,
) -> None:
    waits = "k8s status AwaitingApproval AwaitingApproval"
    effects = {waits: 1, "k8s ledger begin": 1, "redis push": 1}
    deaths = [Point(name=name, number=number, side="after") for name, number in effects.items()]

    await in_order(servers, [replace(plans.APPROVED, points=(one,)) for one in deaths])


@pytest.mark.thorough
async def test_a_recovery_that_is_held_for_transient_errors_touches_nothing_wherever_the_operator_dies(
    servers: Servers,
) -> None:
    held = Point(name="k8s status Planning TransientErrors", number=1, side="after")

    await in_order(servers, [replace(plans.TRANSIENT, points=(held,))])


@pytest.mark.thorough
async def test_a_proposed_recovery_whose_cause_is_over_touches_nothing_wherever_the_operator_dies(
    servers: Servers,
) -> None:
    held = Point(name="k8s status Planning CauseOver", number=1, side="after")
    started = Point(name="redis open", number=1, side="after")

    await in_order(servers, [replace(plans.CAUSE_OVER, points=(one,)) for one in (held, started)])


@pytest.mark.thorough
async def test_between_two_queues_of_one_recovery_is_no_worse_a_place_to_die_than_any_other(servers: Servers) -> None:
    seconds = [Point(name=f"redis {script}", number=2, side="before") for script in ("boundary", "close")]
    cases = [Case(trouble=Trouble.DEATH, points=(point,), every_queue=True) for point in seconds]
    held = Point(name="redis boundary", number=2, side="before", fault=Fault.HOLD)

    await in_order(servers, [*cases, Case(trouble=Trouble.CANCEL, points=(held,), every_queue=True)])


@pytest.mark.thorough
async def test_an_operator_that_dies_or_is_told_to_stop_while_it_restores_puts_each_message_back_once_or_not_at_all(
    servers: Servers,
) -> None:
    death = Point(name="redis stage", number=1, side="after")
    held = Point(name="redis rejoin", number=2, side="before", fault=Fault.HOLD)

    await in_order(
        servers,
        [
            Case(trouble=Trouble.DEATH, points=(death,), restore=True),
            Case(trouble=Trouble.CANCEL, points=(held,), restore=True),
        ],
    )
