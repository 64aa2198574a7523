"""A target that is edited while a recovery waits for its approval, or at its intent: it is asked for again."""

import asyncio

import pytest

from queue_recovery.api.conditions import ConditionType, find
from tests.recovery.approvals import assert_untouched, awaits, case, edit, with_message
from tests.recovery.fake_database import TASK
from tests.recovery.fakes import Case
from tests.recovery.faults import Faults


def dies() -> None:
    raise asyncio.CancelledError


EDITS = {
    "the queues, or the workers that would be stopped": {"workers": ["worker", "other"]},
    "how the target enqueues jobs, the tasks of the jobs": {"queues": with_message(task="tts.other", args='["$(id)"]')},
    "how the target enqueues jobs": {"queues": with_message(args='["$(id)", 1]')},
    "the target's broker": {"broker": {"urlSecretRef": {"name": "other", "key": "url"}}},
}


@pytest.mark.parametrize("changed", EDITS)
@pytest.mark.parametrize("when", ["before it is approved", "at the intent"])
async def test_a_target_that_is_edited_asks_again_and_says_what_has_changed(changed: str, when: str) -> None:
    made = case()
    made.workers.add("other")
    asked = await awaits(made)

    def change() -> None:
        made.workers.on_call.clear()
        edit(made, **EDITS[changed])  # type: ignore[arg-type]

    if when == "at the intent":
        made.workers.on_call["follow"] = change
    else:
        change()
    made.resource.annotate(approve=asked.digest)
    again = await awaits(made)

    assert again.digest != asked.digest
    assert f"waiting for approval again, because this has changed: {changed} (" in made.status.message
    assert made.workers.replicas["worker"] == 2
    assert made.broker.queued() == ["old-a"]

    made.resource.annotate(approve=again.digest)
    await made.reaches("Succeeded")


async def test_a_target_that_is_edited_twice_at_the_intent_stops_no_worker_of_the_version_between() -> None:
    made = case()
    made.workers.add("other")
    asked = await awaits(made)
    made.resource.annotate(approve=asked.digest)
    seen: list[int] = []

    def flip() -> None:
        seen.append(len(seen))
        if len(seen) < 5:
            edit(made, ["other"] if len(seen) % 2 else None)

    made.environment.on_call["target"] = flip
    while made.status.phase != "Succeeded":
        await made.reconciled()

    assert {worker.name for worker in made.status.workers} == {"worker"}


async def test_what_does_not_change_the_intent_does_not_ask_again() -> None:
    made = case()
    asked = await awaits(made)
    made.broker.add("old-b")
    made.resource.change(active_deadline_seconds=7200)
    other = {"name": "mail", "workers": [{"name": "mail-worker"}]}
    queue = {"name": "tts", "workers": [{"name": "worker"}], "message": {"task": TASK, "args": '["$(id)"]'}}
    edit(made, queues=[other, queue], limits={"activeDeadlineSeconds": 3600})
    made.workers.scale("worker", 5)

    made.resource.annotate(approve=asked.digest)
    status = await made.reaches("Succeeded")

    assert status.approval is not None
    assert status.approval.digest == asked.digest


async def test_without_the_requirement_any_more_it_starts_by_itself() -> None:
    made = case()
    await awaits(made)
    edit(made, policy={})

    status = await made.reaches("Succeeded")

    assert status.approval is None
    assert (find(status.conditions, ConditionType.APPROVED) or status.conditions[0]).reason == "NotNeeded"


async def test_a_requirement_that_is_dropped_at_the_intent_binds_the_recovery_to_nothing() -> None:
    made = case()
    asked = await awaits(made)
    made.resource.annotate(approve=asked.digest)
    made.workers.on_call["follow"] = lambda: edit(made, policy={}, queues=with_message(args='["$(id)", 1]'))

    status = await made.reaches("Succeeded")

    assert status.approval is None
    assert made.jobs.statuses == {"a": "pending", "b": "pending"}


async def test_a_recovery_of_every_queue_asks_again_when_there_is_a_further_queue() -> None:
    made = Case(queue="*")
    made.broker.add("old-a")
    edit(made)
    asked = await awaits(made)
    mail = {"name": "mail", "workers": [{"name": "worker"}]}
    made.resource.annotate(approve=asked.digest)
    made.workers.on_call["follow"] = lambda: edit(made, queues=[*with_message(args='["$(id)"]'), mail])

    await made.reconciled()

    assert made.status.plan is not None
    assert made.status.plan.queues == ["tts"]


async def test_a_requirement_that_is_new_after_the_plan_is_met_first() -> None:
    made = case({})
    made.workers.on_call["follow"] = dies
    with pytest.raises(asyncio.CancelledError):
        await made.reconciled()
    assert made.status.plan is not None
    made.workers.on_call.clear()
    edit(made)

    await awaits(made)

    assert_untouched(made)


async def test_a_job_that_names_another_task_by_then_is_skipped() -> None:
    made = case()
    asked = await awaits(made)
    made.resource.annotate(approve=asked.digest)
    made.broker.on_call["pushed"] = lambda: made.jobs.add("b", task="tts.other")

    status = await made.reaches("Succeeded")

    (skipped,) = status.skipped
    assert (skipped.id, skipped.reason) == ("b", "NotApproved")
    assert made.jobs.statuses == {"a": "pending", "b": "failed"}


@pytest.mark.parametrize("call", ["count", "pause"])
async def test_a_requirement_that_is_new_while_it_is_planned_or_waits_for_its_turn_is_met(call: str) -> None:
    made = case({})
    where: Faults = made.broker if call == "count" else made.environment

    def require() -> None:
        where.on_call.clear()
        edit(made)

    where.on_call[call] = require

    await awaits(made)

    assert_untouched(made)


async def test_an_edit_of_how_jobs_are_enqueued_stops_the_jobs_of_a_slow_recovery_that_are_left() -> None:
    made = case(reenqueue={"ratePerSecond": 1})
    asked = await awaits(made)
    made.resource.annotate(approve=asked.digest)
    rounds = iter(range(10))

    def change() -> None:
        if next(rounds) == 1:  # after the drain's own pause
            edit(made, queues=with_message(args='["$(id)", 1]'))

    made.environment.on_call["pause"] = change
    task = made.start()
    await made.waits("ApprovalOutdated")

    assert [one for one in made.jobs.statuses.values() if one == "pending"] == ["pending"]
    made.environment.on_call.clear()
    edit(made)
    await task
    assert made.status.phase == "Succeeded"
    assert set(made.jobs.statuses.values()) == {"pending"}
