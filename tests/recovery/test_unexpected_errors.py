"""No error of the broker or the job store keeps workers at 0, not even one that no code expects."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Final

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.controller.logs import WithoutTexts
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.ports.resource import Gone
from sandbox.processes import until
from tests.recovery.delays import follow_delays
from tests.recovery.fakes import NOW, Case, target

DEADLINE: Final = timedelta(seconds=60)
RETRY: Final = timedelta(seconds=10)
"""After which the controller reconciles a recovery again that an unexpected error has stopped."""

BUG: Final = TypeError("s3cret")

Ending = Callable[[Case], object]
Break = Callable[[Case, Exception], None]


def reach_the_deadline(case: Case) -> None:
    case.environment.time = NOW + DEADLINE
    case.resource.change()


def cancel(case: Case) -> None:
    case.resource.change(cancel=True)


def delete(case: Case) -> None:
    case.resource.change(deleting=True)


def delete_with_its_target(case: Case) -> None:
    case.environment.targets.clear()
    case.resource.change(deleting=True)


def remove_by_force(case: Case) -> None:
    case.resource.is_gone = True
    case.resource.change(deleting=True)


PHASES: Final[Mapping[Ending, str]] = {
    reach_the_deadline: "Failed",
    cancel: "Cancelled",
    delete: "Cancelled",
    delete_with_its_target: "Cancelled",
}


def every_call(case: Case, error: Exception) -> None:
    """Let every call of the broker and of the job store raise an error."""
    case.broker.fail_every_call(error)
    case.jobs.fail_every_call(error)


def connecting(case: Case, error: Exception) -> None:
    """Let connecting raise an error, as a driver does that cannot read a URL."""
    case.environment.fail_always("broker", error)
    case.environment.fail_always("job_store", error)


def heal(case: Case) -> None:
    for fake in (case.environment, case.broker, case.jobs, case.workers):
        fake.heal()


each_ending = pytest.mark.parametrize("end", [*PHASES, remove_by_force], ids=lambda end: end.__name__)
each_break = pytest.mark.parametrize("broken", [every_call, connecting], ids=lambda broken: broken.__name__)
each_error = pytest.mark.parametrize(
    "error",
    [
        BUG,
        ValueError("Port could not be cast to integer value"),
        UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "surrogates not allowed"),
        ExceptionGroup("several", [KeyError("s3cret")]),
    ],
    ids=lambda error: type(error).__name__,
)


async def at_zero(*workers: str) -> tuple[Case, "asyncio.Task[object]"]:
    """Return a recovery whose workers are at 0, while their pods have not ended."""
    names = workers or ("worker",)
    case = Case(jobs=["a"], activeDeadlineSeconds=DEADLINE.seconds)
    case.environment.targets["media"] = target({"tts": names})
    for name in names:
        case.workers.add(name)
    case.broker.add("old-a")
    case.workers.pods_hang = True
    working = asyncio.ensure_future(case.reconciled())

    async def are_at_zero() -> bool:
        return all(case.workers.replicas[name] == 0 for name in names)

    await until(are_at_zero, "the workers to be scaled to 0", seconds=10)
    return case, working


async def attempt(reconciling: Awaitable[object]) -> None:
    """Reconcile once, as the controller does, which tries again after any error."""
    with suppress(Exception):
        await reconciling


def assert_back(case: Case) -> None:
    assert case.workers.replicas == dict.fromkeys(case.workers.replicas, 2)
    assert all(worker.note is None for worker in case.workers.deployments.values())


@each_break
@each_ending
@each_error
async def test_any_ending_after_an_error_scales_the_workers_back_and_is_completed_later(
    error: Exception, end: Ending, broken: Break
) -> None:
    case, working = await at_zero()
    case.broker.fail("freeze", error)
    case.workers.end_pods()
    with pytest.raises(type(error)):
        await working
    broken(case, error)
    with pytest.raises(type(error)):
        await case.reconciled()
    assert case.workers.replicas == {"worker": 0}

    end(case)
    await attempt(case.reconciled())

    assert_back(case)
    if end in PHASES:
        heal(case)
        await case.reaches(PHASES[end])


@each_break
@each_ending
@each_error
async def test_any_ending_during_the_drain_scales_the_workers_back_no_matter_what_the_servers_raise(
    error: Exception, end: Ending, broken: Break
) -> None:
    case, working = await at_zero()

    broken(case, error)
    end(case)
    await attempt(working)

    assert_back(case)


@pytest.mark.parametrize("call", ["freeze", "consumers", "take"])
@each_error
async def test_a_call_that_raises_forever_keeps_the_workers_at_zero_until_the_deadline_only(
    error: Exception, call: str
) -> None:
    case, working = await at_zero()
    case.broker.on_call[call] = lambda: every_call(case, error)
    case.workers.end_pods()
    await attempt(working)

    while case.environment.time < NOW + DEADLINE:
        case.environment.time += RETRY
        await attempt(case.reconciled())

    assert_back(case)


async def test_a_recovery_removed_by_force_is_over_once_its_workers_are_back_no_matter_what_the_servers_raise() -> None:
    case, working = await at_zero()
    every_call(case, BUG)

    remove_by_force(case)
    with pytest.raises(Gone):
        await working

    assert_back(case)


async def test_an_unexpected_error_at_one_deployment_does_not_keep_the_others_at_zero() -> None:
    case, working = await at_zero("first", "second")
    case.workers.remove("worker")
    case.workers.fail("scale_back", BUG)

    cancel(case)
    with pytest.raises(TypeError):
        await working
    assert case.workers.replicas == {"first": 0, "second": 2}

    await case.reaches("Cancelled")
    assert_back(case)


async def test_an_unexpected_error_at_a_deployment_of_a_removed_recovery_is_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case, working = await at_zero()
    before = len(case.environment.pauses)
    case.workers.fail("scale_back", BUG, BUG)

    remove_by_force(case)
    with pytest.raises(Gone):
        await working

    assert_back(case)
    assert follow_delays(case.environment.pauses[before:], [0.5, 1.0])
    said = [record.getMessage() for record in caplog.records]
    assert said.count("the recovery was removed by force, and its workers are still at 0: unexpected TypeError") == 1


async def test_the_place_of_an_unexpected_error_is_logged_once_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case, working = await at_zero()
    case.broker.fail_always("refuse", BUG)
    away = RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "does not answer")
    case.workers.fail("scale_back", away, away)

    cancel(case)
    await working

    assert case.broker.calls.count("refuse") == 3
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert WithoutTexts().filter(record)
    assert record.getMessage().startswith(
        "refusing late takes met an unexpected error. Please report it: TypeError in _called ("
    )
    assert "s3cret" not in record.getMessage()
    assert (record.__dict__["recovery"], record.__dict__["reason"]) == ("stuck", "InternalError")


async def test_the_end_of_the_process_is_no_error_that_the_workers_ignore() -> None:
    case, working = await at_zero()

    def stop() -> None:
        raise asyncio.CancelledError

    case.broker.on_call["refuse"] = stop
    cancel(case)
    await asyncio.wait({working}, timeout=10)

    assert working.cancelled()
    assert "scale_back" not in case.workers.calls
