"""The workers of a recovery that was removed by force are scaled back, no matter how often the API server refuses."""

import asyncio
import logging

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.resource import Gone
from tests.recovery.delays import follow_delays
from tests.recovery.fakes import NOW, UID, Case

STARTED = QueueRecoveryStatus(
    drain_start_time=timestamp(NOW), workers=[WorkerStatus(name="worker", uid="d", replicas=2)]
)
AWAY = RecoveryError(Reason.KUBERNETES_UNAVAILABLE, "does not answer")
FORBIDDEN = RecoveryError(Reason.FORBIDDEN, "no RoleBinding")


def removed(status: QueueRecoveryStatus = STARTED) -> Case:
    """Return a recovery that is gone when it is read, and whose target cannot be read any more."""
    case = Case(status=status)
    case.resource.change(deleting=True)
    case.resource.is_gone = True
    case.environment.targets.clear()
    return case


async def is_found_gone(case: Case) -> None:
    with pytest.raises(Gone):
        await case.reconciled()


async def test_a_refused_write_is_retried_with_growing_pauses_until_the_workers_are_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = removed()
    case.workers.fail("scale_back", AWAY, FORBIDDEN, FORBIDDEN, AWAY)

    with caplog.at_level(logging.INFO):
        await is_found_gone(case)

    assert case.workers.scaled_back == [("worker", "d", UID)]
    assert follow_delays(case.environment.pauses, [0.5, 1.0, 2.0, 4.0])
    still = "the recovery was removed by force, and its workers are still at 0: "
    assert [record.getMessage() for record in caplog.records] == [
        f"{still}KubernetesUnavailable: does not answer",
        f"{still}Forbidden: no RoleBinding",
        f"{still}KubernetesUnavailable: does not answer",
        "the recovery was removed by force, and its workers are scaled back",
    ]


async def test_in_a_namespace_that_is_being_deleted_nothing_is_retried() -> None:
    case = removed()
    case.workers.fail_always("scale_back", FORBIDDEN)
    case.environment.terminating = True

    await is_found_gone(case)

    assert (case.workers.calls.count("scale_back"), case.environment.pauses) == (1, [])


@pytest.mark.parametrize(
    "status",
    [QueueRecoveryStatus(), STARTED.model_copy(update={"completion_time": timestamp(NOW)})],
    ids=["not begun", "ended"],
)
async def test_a_recovery_that_holds_nothing_is_left_alone(status: QueueRecoveryStatus) -> None:
    case = removed(status)

    await is_found_gone(case)

    assert "scale_back" not in case.workers.calls


async def test_the_end_of_the_process_ends_the_retries() -> None:
    case = removed()
    case.workers.fail_always("scale_back", FORBIDDEN)
    working = case.start()
    case.environment.on_pause = working.cancel

    await asyncio.wait({working}, timeout=10)

    assert working.cancelled()
    assert case.workers.calls.count("scale_back") == 1
