"""A deleted recovery that cannot reach its broker any more: when it ends without the broker, and when it waits."""

import asyncio

import pytest

from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.recovery import reconcile
from queue_recovery.recovery.backoff import FIRST_DELAY
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.phase import is_terminal, timestamp
from sandbox.processes import until
from tests.recovery.fakes import NOW, UID, Case

NO_TARGET = AwaitingChange(Reason.TARGET_NOT_FOUND, "no QueueTarget")
NO_SECRET = AwaitingChange(Reason.SECRET_NOT_FOUND, "no Secret")
FORBIDDEN = RecoveryError(Reason.FORBIDDEN, "no RoleBinding")


def cut_off(target: RecoveryError, *, deleting: bool = True) -> Case:
    """Return a recovery whose workers are at 0, and whose target cannot be read."""
    workers = [WorkerStatus(name="worker", uid="d", replicas=2)]
    case = Case(status=QueueRecoveryStatus(drain_start_time=timestamp(NOW), workers=workers))
    case.resource.change(deleting=deleting)
    case.environment.fail_always("target", target)
    return case


async def ends(case: Case) -> bool:
    """Reconcile until the recovery has ended (True) or waits (False)."""
    working = case.start()

    async def decided() -> bool:
        return working.done() or len(case.resource.written) > 1

    await until(decided, "the recovery to end or to wait")
    if not working.done():
        working.cancel()
        await asyncio.wait({working})
    return is_terminal(case.status)


async def test_without_its_target_it_ends_once_its_workers_are_back() -> None:
    case = cut_off(NO_TARGET)

    assert await ends(case)

    assert case.workers.scaled_back == [("worker", "d", UID)]
    assert case.status.phase == "Cancelled"
    assert "the next recovery of this queue has to release the lock: no QueueTarget" in case.status.message


async def test_without_its_target_it_waits_while_its_workers_cannot_be_scaled_back() -> None:
    case = cut_off(NO_TARGET)
    case.workers.fail_always("scale_back", FORBIDDEN)

    assert not await ends(case)


async def test_without_its_secret_it_waits() -> None:
    assert not await ends(cut_off(NO_SECRET))


async def test_a_cancelled_recovery_that_is_not_deleted_waits_for_its_target() -> None:
    case = cut_off(NO_TARGET, deleting=False)
    case.resource.change(cancel=True)

    assert not await ends(case)


@pytest.mark.parametrize("permitted", [True, False], ids=["permitted", "forbidden"])
async def test_in_a_namespace_that_is_being_deleted_it_ends_without_the_deleted_objects(*, permitted: bool) -> None:
    case = cut_off(NO_SECRET)
    case.environment.terminating = True
    if not permitted:
        case.workers.fail_always("scale_back", FORBIDDEN)

    assert await ends(case)


async def test_in_a_namespace_that_is_being_deleted_a_server_that_has_gone_with_it_is_given_up_after_the_last_retry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "LONGEST_DELAY", FIRST_DELAY)
    case = cut_off(RecoveryError(Reason.BROKER_UNAVAILABLE, "does not answer"))
    case.environment.terminating = True

    assert await ends(case)


async def test_in_a_namespace_that_is_being_deleted_a_server_that_is_down_is_retried_first() -> None:
    case = cut_off(RecoveryError(Reason.BROKER_UNAVAILABLE, "does not answer"))
    case.environment.terminating = True

    assert not await ends(case)
