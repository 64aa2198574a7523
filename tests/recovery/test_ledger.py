"""The ledger: a recovery that was executed does not run again under the same name and spec."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID

import pytest

from queue_recovery.api.ledger import LedgerEntry, ledger_key
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import QueueRecoverySpec
from queue_recovery.api.recovery_status import Ending
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ledger import ending_of_copy
from tests.recovery.fakes import NOW, Case

_CALLS_OF_A_COPY = 4
_LOST = RecoveryError(Reason.LEDGER_LOST, "it is gone")


def copy_of(case: Case, number: int = 2, **fields: object) -> Case:
    """Return the same recovery as created again: with another UID, in the same environment."""
    created = case.resource.desired.spec.model_copy(update={"cancel": False})  # as it is in Git
    spec = created.model_dump(by_alias=True, exclude_defaults=True, mode="json")
    return Case({**spec, **fields}, jobs=spec.pop("jobs", []), environment=case.environment, uid=str(UUID(int=number)))


def entry_of(case: Case) -> LedgerEntry | None:
    return case.environment.fake_ledger.entries.get(ledger_key(case.resource.name, case.resource.desired.spec))


async def succeeded(**fields: object) -> Case:
    """Return a recovery that has purged two messages and enqueued a job."""
    case = Case(fields, jobs=["a"])
    case.broker.add("old-a", "of no job")
    await case.reaches("Succeeded")
    return case


async def test_a_copy_of_a_succeeded_recovery_succeeds_without_doing_anything() -> None:
    case = await succeeded()
    case.broker.add("healthy")
    case.jobs.add("a")
    written = len(case.workers.calls)
    copy = copy_of(case)

    status = await copy.reaches("Succeeded", "AlreadyExecuted")

    assert len(case.workers.calls) == written
    assert case.broker.queued() == [case.task_id("a"), "healthy"]
    assert case.resource.uid in status.message
    assert "create it with another name" in status.message
    assert status.quarantine == case.status.quarantine


async def test_a_copy_runs_if_its_spec_or_its_name_differs() -> None:
    case = await succeeded()
    for number, (name, fields) in enumerate([("other", {}), ("stuck", {"notAfter": "2099-01-01T00:00:00Z"})], start=2):
        case.broker.add("poison")
        again = Case(fields, environment=case.environment, uid=str(UUID(int=number)), name=name)
        await again.reaches("Succeeded", "Completed")
        assert again.status.messages is not None
        assert again.status.messages.quarantined > 0


async def test_what_a_user_may_change_makes_no_other_recovery_of_it() -> None:
    case = await succeeded()

    for fields in ({"suspend": True}, {"cancel": True}, {"activeDeadlineSeconds": 7200}):
        await copy_of(case, **fields).reaches("Succeeded", "AlreadyExecuted")


async def test_a_copy_that_is_too_late_ends_as_the_first_one_did() -> None:
    case = await succeeded(notAfter="2030-01-02T00:00:00Z")
    case.environment.time = NOW + timedelta(days=365)

    await copy_of(case).reaches("Succeeded", "AlreadyExecuted")


async def test_a_recovery_without_anything_to_do_does_nothing_later_either() -> None:
    case = Case(jobs=[])
    await case.reaches("Succeeded", "NothingToDo")
    case.broker.add("healthy")

    await copy_of(case).reaches("Succeeded", "AlreadyExecuted")

    assert case.broker.queued() == ["healthy"]


async def test_a_recovery_that_failed_before_it_did_anything_runs_again() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    case.workers.on_call["scale_to_zero"] = lambda: case.resource.change(cancel=True)
    await case.reaches("Cancelled")
    assert entry_of(case) is None

    await copy_of(case).reaches("Succeeded", "Completed")

    assert case.broker.queued() == [copy_of(case).task_id("a")]


async def test_a_recovery_that_was_cancelled_after_the_purge_does_not_run_again() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    case.workers.on_call["scale_back"] = lambda: case.resource.change(cancel=True)
    await case.reaches("Cancelled")

    status = await copy_of(case).reaches("Cancelled", "AlreadyExecuted")

    assert "1 message quarantined" in status.message


async def test_a_copy_of_one_that_was_removed_by_force_after_the_purge_fails() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")

    def die() -> None:
        case.broker.on_any_call = die
        raise asyncio.CancelledError

    case.broker.on_call["push"] = die
    with suppress(asyncio.CancelledError):
        await case.reconciled()
    case.broker.on_call.clear()
    case.broker.on_any_call = lambda: None

    status = await copy_of(case).reaches("Failed", "AlreadyExecuted")

    assert "removed by force" in status.message


async def test_a_copy_of_one_that_was_removed_by_force_finishes_what_that_one_has_left() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")

    def die() -> None:
        case.workers.on_any_call = case.broker.on_any_call = case.resource.on_any_call = die
        raise asyncio.CancelledError

    case.broker.on_call["take"] = die
    with suppress(asyncio.CancelledError):
        await case.reconciled()
    case.broker.on_call.clear()
    case.workers.on_any_call = case.broker.on_any_call = case.resource.on_any_call = lambda: None
    assert (case.workers.replicas, case.broker.queued()) == ({"worker": 0}, ["old-a"])
    assert case.broker.locks

    await copy_of(case).reaches("Failed", "AlreadyExecuted")

    assert case.workers.replicas == {"worker": 2}
    assert case.workers.deployments["worker"].note is None
    assert case.broker.locks == {}


async def test_the_entry_is_written_before_the_workers_are_stopped_and_marked_before_messages_are_taken() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    seen: list[tuple[str, bool | None]] = []

    def look(what: str) -> None:
        entry = entry_of(case)
        seen.append((what, None if entry is None else entry.executed))

    case.workers.on_call["scale_to_zero"] = lambda: look("scale")
    case.broker.on_call["take"] = lambda: look("take")
    case.broker.on_call["push"] = lambda: look("push")
    await case.reaches("Succeeded")

    assert seen == [("scale", False), ("take", True), ("push", True)]


async def test_nothing_is_touched_while_the_ledger_is_lost() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    case.environment.fake_ledger.fail_always("ledger_read", _LOST)
    running = case.start()

    await case.waits("LedgerLost")

    assert case.broker.queued() == ["old-a"]
    assert case.workers.replicas == {"worker": 2}
    case.environment.fake_ledger.heal()
    case.environment.report_change()
    await running
    assert case.status.phase == "Succeeded"


@pytest.mark.parametrize("reason", [Reason.LEDGER_LOST, Reason.LEDGER_UNREADABLE, Reason.LEDGER_REFUSED])
async def test_an_ending_does_not_wait_for_a_ledger_that_cannot_be_used(reason: Reason) -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    ledger = case.environment.fake_ledger
    case.broker.on_call["close"] = lambda: ledger.fail_always("ledger_write", RecoveryError(reason, "x"))

    await case.reaches("Succeeded", "Completed")

    ledger.heal()
    await copy_of(case).reaches("Failed", "AlreadyExecuted")


async def test_an_ending_waits_while_the_api_server_is_unavailable() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    away = RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "the API server cannot be reached")
    ledger = case.environment.fake_ledger
    outages = iter([away, away])

    def fall_away() -> None:
        ledger.fail("ledger_write", *outages)

    case.broker.on_call["close"] = fall_away

    await case.reaches("Succeeded", "Completed")

    entry = entry_of(case)
    assert entry is not None
    assert entry.phase == "Succeeded"


async def test_one_that_was_removed_by_force_leaves_the_queue_to_its_copy() -> None:
    case = Case(jobs=["a"])
    case.broker.add("old-a")
    other = LedgerEntry(uid=str(UUID(int=2)), start_time="2030-01-01T00:00:00Z", executed=True)

    def replace() -> None:
        case.resource.is_gone = True
        case.environment.fake_ledger.entries[ledger_key("stuck", case.resource.desired.spec)] = other

    case.workers.on_call["scale_to_zero"] = replace
    with suppress(Exception):
        await case.reconciled()

    assert case.broker.queued() == ["old-a"]
    assert entry_of(case) == other
    assert case.workers.replicas == {"worker": 2}


@pytest.mark.parametrize("number", range(1, 60))
async def test_after_a_death_at_any_call_a_copy_purges_and_enqueues_nothing_more(number: int) -> None:
    case = Case(jobs=["a", "b"])
    case.broker.add("old-a", "old-b")
    await case.dies_at(number)
    await case.reaches("Succeeded")
    queued = case.broker.queued()

    await copy_of(case).reaches("Succeeded", "AlreadyExecuted")

    assert case.broker.queued() == queued == [case.task_id("a"), case.task_id("b")]


async def test_a_hundred_copies_of_which_each_dies_at_another_call_purge_and_enqueue_nothing_more() -> None:
    case = await succeeded()
    case.broker.add("healthy")
    before = len(case.workers.calls)
    deaths = 0
    for number in range(2, 102):
        copy = copy_of(case, number)
        deaths += await copy.dies_at(number % _CALLS_OF_A_COPY + 1)
        await copy.reaches("Succeeded", "AlreadyExecuted")

    assert deaths == 100
    assert case.broker.queued() == [case.task_id("a"), "healthy"]
    assert len(case.workers.calls) == before


def test_the_key_has_the_name_and_survives_fields_that_a_later_version_adds() -> None:
    minimal = {"targetRef": {"name": "media"}, "queue": "tts", "jobs": [{"id": "a"}]}
    spelled_out = {**minimal, "purge": {"mode": "Quarantine"}, "restart": {"strategy": "Recreate"}, "suspend": True}
    keys = {ledger_key("stuck", QueueRecoverySpec.model_validate(spec)) for spec in (minimal, spelled_out)}

    (key,) = keys
    assert key == "stuck.79e42edc71540fa4"


@pytest.mark.parametrize("name", ["a" * 253, "x.y", "a"])
def test_a_key_fits_into_a_configmap(name: str) -> None:
    key = ledger_key(name, QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"}))

    assert len(key) <= 253


def test_recoveries_whose_names_have_a_long_common_beginning_have_their_own_keys() -> None:
    spec = QueueRecoverySpec.model_validate({"targetRef": {"name": "media"}, "queue": "tts"})

    assert ledger_key("a" * 253, spec) != ledger_key("a" * 252, spec)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_copy_has_the_phase_and_the_outcome_of_the_first_one(phase: str) -> None:
    ended = {"uid": "u", "startTime": "t", "executed": True, "phase": phase, "completionTime": "then", "message": "m"}

    ending = ending_of_copy(LedgerEntry.model_validate(ended))

    assert ending == Ending.model_validate(
        {
            "phase": phase,
            "reason": "AlreadyExecuted",
            "message": f"a recovery with the same name and spec (UID u) ended as {phase} at then (m). Nothing was "
            "done. To run it again, create it with another name",
        }
    )


async def test_a_recovery_does_not_start_after_its_time() -> None:
    case = Case(jobs=["a"], notAfter="2029-12-31T23:59:59Z")
    case.broker.add("old-a")

    status = await case.reaches("Failed", "NotAfterPassed")

    assert "2029-12-31T23:59:59Z" in status.message
    assert case.broker.queued() == ["old-a"]


async def test_a_suspended_recovery_ends_at_its_time() -> None:
    case = Case(jobs=["a"], notAfter="2030-01-01T00:00:10Z", suspend=True)
    case.broker.add("old-a")
    waits = await case.reconciled()
    assert waits is not None
    assert waits.seconds == 10

    case.environment.time += timedelta(seconds=10)

    await case.reaches("Failed", "NotAfterPassed")
