"""Workers are reported as back once they are, and one that was created again with the note is scaled back too."""

import asyncio

import pytest

from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus, WorkerStatus
from queue_recovery.controller.recovery_events import events_between
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports import ScaleBackNote
from queue_recovery.recovery.restart import restart
from tests.recovery.fakes import NOW, UID, Case, target

NOTE = ScaleBackNote(uid=UID, name="stuck", replicas=2)


def stopped() -> Case:
    """Return a recovery that has stopped `worker`, while `spare` was at 0 already."""
    before = {"spare": 0, "worker": 2}
    workers = [WorkerStatus(name=name, uid=f"uid of {name}", replicas=n) for name, n in before.items()]
    case = Case(status=QueueRecoveryStatus(drain_start_time=timestamp(NOW), workers=workers))
    case.environment.targets["media"] = target({"tts": ["spare", "worker"]})
    case.workers.add("spare", replicas=0, pods=0, drained=True)
    case.workers.add("worker", replicas=0, pods=0, drained=True, note=NOTE)
    return case


async def restarted(case: Case) -> Condition:
    """Restart, and return the condition."""
    async with asyncio.timeout(10):
        await restart(case.recovery())
    condition = find(case.status.conditions, ConditionType.RESTARTED)
    assert condition is not None
    return condition


async def test_workers_that_are_back_are_named_with_their_replicas() -> None:
    case = stopped()

    assert (await restarted(case)).message == 'replicas: "spare" has 0, as before, "worker" has 2'

    assert case.workers.deployments["worker"].note is None


async def test_the_replicas_that_an_autoscaler_has_set_since_are_named() -> None:
    case = stopped()
    case.workers.change("worker", note=None, replicas=3)

    assert (await restarted(case)).message == 'replicas: "spare" has 0, as before, "worker" has 3'


@pytest.mark.parametrize("later", [False, True], ids=["at once", "during the rollout"])
async def test_a_worker_that_another_client_has_set_to_zero_is_not_reported_as_back(*, later: bool) -> None:
    case = stopped()
    if later:
        case.workers.change("worker", note=None, replicas=2, rollout="starting")
        followed = asyncio.Event()
        case.workers.on_call["follow"] = followed.set
        working = asyncio.ensure_future(restarted(case))
        await followed.wait()
        case.workers.change("worker", replicas=0, rollout=None)
        said = (await working).message
    else:
        case.workers.change("worker", note=None)
        said = (await restarted(case)).message

    assert '"worker" has 2' not in said
    assert (
        '; "worker" has 0 replicas instead of 2: another client has set this; '
        "kubectl scale deployment/worker --replicas=2 -n media)"
    ) in said


async def test_a_queue_whose_deployments_all_have_no_replicas_is_reported_to_have_no_consumer() -> None:
    case = stopped()
    case.workers.change("worker", note=None)

    condition = await restarted(case)

    assert condition.message.startswith(
        'No worker consumes "tts". Scale the workers up, unless an autoscaler does: '
        "kubectl scale deployment/spare deployment/worker --replicas=N -n media ("
    )
    assert condition.reason == Reason.WORKERS_AT_ZERO
    (warning,) = [one for one in events_between(QueueRecoveryStatus(), case.status) if one.type == "Warning"]
    assert (warning.reason, warning.note) == (Reason.WORKERS_AT_ZERO, condition.message)


async def test_a_worker_that_cannot_be_written_delays_no_other_one() -> None:
    case = stopped()
    case.workers.fail("scale_back", RecoveryError(Reason.WORKER_WRITE_REFUSED, "spare is refused"))

    with pytest.raises(RecoveryError, match="spare is refused"):
        await restarted(case)

    assert case.workers.replicas == {"spare": 0, "worker": 2}


async def test_a_worker_that_was_created_again_with_the_note_is_scaled_back_too() -> None:
    case = stopped()
    case.workers.on_call["follow"] = lambda: case.workers.add("worker", uid="another", replicas=0, note=NOTE)

    assert (await restarted(case)).message == 'replicas: "spare" has 0, as before, "worker" has 2'

    assert case.workers.replicas["worker"] == 2
    assert case.workers.calls.count("scale_back") == 4
