"""What a recovery uses is changed or deleted while it runs, at each of its calls."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.ports import ScaleBackNote
from sandbox.processes import until
from tests.recovery.fakes import UID, Case

OLD_PASSWORD: Final = RecoveryError(Reason.BROKER_AUTHENTICATION_FAILED, "rejects the password")
FORBIDDEN: Final = RecoveryError(Reason.FORBIDDEN, "no RoleBinding")
NOTE: Final = ScaleBackNote(uid=UID, name="stuck", replicas=2)

Event = Callable[[Case], None]


def with_a_message(**fields: object) -> Case:
    """Return a recovery of one job and its message."""
    case = Case(fields, jobs=["a"])
    case.broker.add("old-a")
    return case


def assert_recovered(case: Case, number: int) -> None:
    """Assert that the message was taken once, the job enqueued once, and the workers are back."""
    assert case.status.phase == "Succeeded", number
    assert case.status.messages is not None, number
    assert case.status.messages.quarantined == 1, number
    assert case.broker.queued() == [case.task_id("a")], number
    assert_in_order(case, number)


def assert_in_order(case: Case, number: int) -> None:
    """Assert that the workers are back and nothing is held."""
    assert case.workers.replicas == {"worker": 2}, number
    assert case.workers.deployments["worker"].note is None, number
    assert case.broker.locks == {}, number


async def ended_or_waits(case: Case) -> bool:
    """Wait until the recovery has ended (True), or says that it waits for its target or for the password."""
    reasons = {Reason.TARGET_NOT_FOUND, Reason.BROKER_AUTHENTICATION_FAILED}

    async def decided() -> bool:
        waits = any(one.type == "Reconciling" and one.reason in reasons for one in case.status.conditions)
        return waits or case.status.completion_time is not None

    await until(decided, "the recovery to end or to wait")
    return case.status.completion_time is not None


def delete_target(case: Case) -> None:
    case.environment.targets.clear()
    case.environment.report_change()


def refuse_password(case: Case) -> None:
    case.broker.fail_every_call(OLD_PASSWORD)


def put_right(case: Case) -> None:
    """Create the target again, and store the new password in the Secret."""
    case.environment.targets |= Case().environment.targets
    case.broker.heal()
    case.environment.report_change()


@pytest.mark.parametrize(("event", "dies"), [(delete_target, True), (refuse_password, False)])
async def test_a_recovery_goes_on_when_its_target_or_the_new_password_is_there(event: Event, *, dies: bool) -> None:
    number, happened, waited = 0, True, 0
    while happened:
        case = with_a_message()
        number += 1
        has_happened = await interrupted(case, number, event, dies=dies)
        working = case.start()
        waited += not await ended_or_waits(case)
        put_right(case)
        await working

        assert_recovered(case, number)
        happened = has_happened()
    assert number > 40
    assert waited > 2


async def interrupted(case: Case, number: int, event: Event, *, dies: bool) -> Callable[[], bool]:
    """Let something happen at a call, with which the process may die; return what tells whether it has happened."""
    if not dies:
        return case.at_call(number, event)
    died = await case.dies_at(number)
    event(case)
    return lambda: died


@pytest.mark.parametrize("event", [delete_target, refuse_password])
async def test_a_cancelled_recovery_brings_its_workers_back_before_the_target_or_the_new_password_is_there(
    event: Event,
) -> None:
    case = with_a_message()

    def die() -> None:
        raise asyncio.CancelledError

    case.broker.on_call["take"] = die
    with suppress(asyncio.CancelledError):
        await case.reconciled()
    case.broker.on_call.clear()
    assert case.workers.replicas == {"worker": 0}
    event(case)
    case.resource.change(cancel=True)
    working = case.start()

    assert not await ended_or_waits(case)
    assert case.workers.replicas == {"worker": 2}
    put_right(case)
    await working

    assert case.status.phase == "Cancelled"
    assert_in_order(case, 0)


def created_again(case: Case) -> None:
    """Delete the Deployment and create it again from its manifest in Git."""
    case.workers.add("worker", uid="another", replicas=2, pods=2, drained=False, note=None, generation=1)


def created_again_as_it_was(case: Case) -> None:
    """Delete the Deployment and create it again as `kubectl get -o yaml` has shown it at that moment."""
    held = case.workers.deployments["worker"].note is not None
    replicas = 0 if held else 2
    case.workers.add("worker", uid="another", replicas=replicas, pods=replicas, drained=held, generation=1)


def changed(case: Case) -> None:
    """Let the workers consume another queue, or have another environment."""
    case.workers.change("worker", generation=case.workers.deployments["worker"].generation + 1)


@pytest.mark.parametrize("event", [created_again, created_again_as_it_was, changed])
async def test_a_deployment_that_is_created_again_or_changed_at_any_call_is_stopped_and_brought_back(
    event: Event,
) -> None:
    number, happened = 0, True
    while happened:
        case = with_a_message()
        number += 1
        has_happened = case.at_call(number, event)

        await case.reconciled()

        assert_recovered(case, number)
        happened = has_happened()
    assert number > 40


async def test_a_change_of_the_workers_between_the_drain_and_the_end_of_the_purge_takes_the_queue_again() -> None:
    case = with_a_message()
    case.broker.on_call["take"] = lambda: changed(case) if case.broker.calls.count("take") == 1 else None

    await case.reaches("Succeeded")

    assert case.status.purge.attempt == 2


def terminate(case: Case) -> None:
    """Delete the namespace: first its target, its Secrets and its RoleBinding, then the recovery."""
    case.environment.terminating = True
    case.environment.targets.clear()
    for fake in (case.workers, case.environment.fake_ledger):
        fake.fail_every_call(FORBIDDEN)
    case.environment.fail_always("broker", AwaitingChange(Reason.SECRET_NOT_FOUND, "no Secret"))
    case.environment.report_change()
    case.resource.change(deleting=True)


@pytest.mark.parametrize(
    "fields", [{}, {"purge": {"mode": "None"}, "restart": {"annotate": True}}], ids=["purge", "restart"]
)
@pytest.mark.parametrize("dies", [False, True], ids=["one process", "another process"])
async def test_a_namespace_that_terminates_at_any_call_waits_for_no_recovery(
    fields: dict[str, object], *, dies: bool
) -> None:
    number, happened = 0, True
    while happened:
        case = with_a_message(**fields)
        number += 1
        has_happened = await interrupted(case, number, terminate, dies=dies)

        await case.reconciled()

        assert case.status.completion_time is not None, number
        happened = has_happened()
    assert number > 20
