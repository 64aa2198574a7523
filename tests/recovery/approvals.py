"""Recoveries of a target that requires an approval, and edits of that target."""

from collections.abc import Mapping

from queue_recovery.api.approval import ApprovalStatus
from tests.recovery.fake_database import TASK
from tests.recovery.fakes import UID, Case, target

REQUIRED = {"approval": "Required"}


NOT_THE_AUTHOR = {**REQUIRED, "authorMayApprove": False}


def case(policy: object = REQUIRED, /, *, uid: str = UID, **fields: object) -> Case:
    made = Case(fields, jobs=["a", "b"], uid=uid)
    made.broker.add("old-a")
    edit(made, policy=policy)
    return made


def edit(made: Case, workers: list[str] | None = None, **spec: object) -> None:
    """Write another version of the target; what is left out is as at the beginning, and an approval is required."""
    fields: Mapping[str, object] = {"policy": REQUIRED, **spec}
    made.environment.targets["media"] = target({"tts": workers or ["worker"]}, id_type="String", **fields)
    made.environment.report_change()


def with_message(**message: object) -> list[dict[str, object]]:
    """Return the target's queues with another message."""
    return [{"name": "tts", "workers": [{"name": "worker"}], "message": {"task": TASK, **message}}]


async def awaits(made: Case) -> ApprovalStatus:
    """Reconcile until the recovery awaits an approval; return what has to be approved."""
    waiting = await made.reconciled()
    assert waiting is not None, made.status.message
    assert made.status.phase == "AwaitingApproval", made.status.message
    assert made.status.approval is not None
    return made.status.approval


def assert_untouched(made: Case) -> None:
    assert made.status.drain_start_time is None
    assert made.broker.queued() == ["old-a"]
    assert made.workers.replicas == {"worker": 2}
    assert made.jobs.statuses == {"a": "failed", "b": "failed"}
