"""Approval: a recovery of a target that requires it does nothing but what was approved.

What is approved has a digest (`approval_digest.py`). It is compared with the annotation that quotes it when the
recovery is planned, and again right before the intent, with the target as it is then. The write of the intent fails if
anything else is asked for by then. From the intent on the approval is binding.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import TypeAdapter, ValidationError

from queue_recovery.api.approval import APPROVE, APPROVER, AUTHOR, MOST_TASKS, ApprovalStatus
from queue_recovery.api.base import TaskName
from queue_recovery.api.conditions import ConditionStatus, ConditionType
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Plan
from queue_recovery.api.target import QueueSpec
from queue_recovery.recovery.approval_digest import PARTS, approval_of, changes, refusal
from queue_recovery.recovery.checks import workers_of
from queue_recovery.recovery.errors import AwaitingChange, RecoveryError
from queue_recovery.recovery.holding import describe_plan
from queue_recovery.recovery.phase import timestamp
from queue_recovery.recovery.ports.resource import Annotations
from queue_recovery.recovery.recovery import Recovery
from queue_recovery.recovery.status import Update, counted_so_far, without_plan
from queue_recovery.recovery.wording import named

_WHOAMI: Final = "\"$(kubectl auth whoami -o jsonpath='{.status.userInfo.username}')\""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a comparison of the digest with the annotations has found."""

    approval: ApprovalStatus | None
    """None: no approval is required."""
    message: str | None
    """How the approval is asked for; None: the recovery may start."""

    @property
    def condition(self) -> tuple[ConditionType, ConditionStatus, str, str]:
        """The condition that says so."""
        if self.approval is None:
            return ConditionType.APPROVED, "True", Reason.NOT_NEEDED, ""
        if self.message is None:
            by = f'by "{self.approval.approver}"' if self.approval.approver else ""
            return ConditionType.APPROVED, "True", Reason.APPROVED, by
        return ConditionType.APPROVED, "False", Reason.AWAITING_APPROVAL, ""


async def ask(
    recovery: Recovery, queues: Mapping[str, QueueSpec], plan: Plan, *, tasks: Collection[str] = (), source: str = ""
) -> Asked:
    """Compare what has to be approved of a recovery with its annotations.

    Raises RecoveryError (`SpecTooLarge`, `AuthorUnknown`).
    """
    target = await recovery.target()
    if target.policy.approval == "NotRequired":
        return Asked(approval=None, message=None)
    _check_tasks(tasks)
    uid, given = recovery.resource.uid, recovery.resource.desired.annotations
    wanted = approval_of(uid, recovery.spec, target, queues, tasks=tasks, source=source)
    if not target.policy.author_may_approve:
        await _check_author(recovery, given)
    why = refusal(target.policy, wanted.digest, given)
    if why is None:
        return Asked(approval=wanted.model_copy(update={"approver": given.approver or None}), message=None)
    wanted = wanted.model_copy(update={"changed": changes(recovery.status.approval, wanted)})
    names_approver = not target.policy.author_may_approve
    workers = workers_of(queues.values()) if recovery.restarts_workers else []
    would = describe_plan(recovery.spec, plan, workers, counted_before=counted_so_far(recovery.status))
    message = _message(recovery, wanted, would, why, names_approver=names_approver)
    return Asked(approval=wanted, message=message)


async def requires_approval(recovery: Recovery) -> bool:
    """Tell whether the target requires an approval."""
    return (await recovery.target()).policy.approval == "Required"


async def save_plan(recovery: Recovery, asked: Asked, progress: tuple[str, str], update: Update) -> None:
    """Write a plan to the status, with how its approval is asked for; a suspended one shows the digest only."""
    if asked.message is not None and not recovery.spec.suspend:
        progress = (Reason.AWAITING_APPROVAL, asked.message)
    conditions = [asked.condition] if asked.approval or recovery.status.approval else []
    await recovery.save(*conditions, progress=progress, update={**update, "approval": asked.approval})


async def await_approval(recovery: Recovery) -> None:
    """Look whether the recovery is approved by now; if it is, it plans again, because its counts may be days old."""
    asked = await _ask_again(recovery)
    if asked is None or asked.message is not None:
        return
    now = timestamp(recovery.environment.now())
    said = "approved" if asked.approval else "the target requires no approval any more"
    await recovery.save(
        asked.condition,
        progress=(Reason.APPROVED, f"{said}; planning again"),
        update={"approval": asked.approval, **without_plan(recovery.status), "resume_time": now},
    )


async def is_approved(recovery: Recovery) -> bool:
    """Compare again, right before the intent and with the target as it is then.

    Returns False also if the target was edited since this step has begun, which then has to begin again.
    """
    if await recovery.has_target_changed():
        return False
    if recovery.status.approval is None and not await requires_approval(recovery):
        return True
    asked = await _ask_again(recovery)
    if asked is not None and asked.approval is None:
        progress = (Reason.PLANNED, "the target requires no approval any more")
        await recovery.save(asked.condition, progress=progress, update={"approval": None})
    return asked is not None and asked.message is None


async def _ask_again(recovery: Recovery) -> Asked | None:
    """Compare again; the status says if the approval is missing.

    Returns None if something else would have to be approved than when the recovery was planned: it plans again then.
    """
    status, asked = recovery.status, None
    if status.approval is not None and status.plan is not None:
        source = status.restored.uid if status.restored else ""
        queues = await recovery.queues()
        asked = await ask(recovery, queues, status.plan, tasks=status.approval.tasks, source=source)
    if asked is None or (asked.approval and status.approval and asked.approval.digest != status.approval.digest):
        progress = (Reason.AWAITING_APPROVAL, "what has to be approved has changed; planning again")
        await recovery.save(progress=progress, update=without_plan(recovery.status))
        return None
    if asked.message is not None:
        progress = (Reason.AWAITING_APPROVAL, asked.message)
        await recovery.save(asked.condition, progress=progress, update={"approval": asked.approval})
    return asked


async def check_still_as_approved(recovery: Recovery, queues: Mapping[str, QueueSpec]) -> None:
    """Raise AwaitingChange (`ApprovalOutdated`) if jobs would be enqueued in another way than was approved."""
    approved = recovery.status.approval
    if approved is None:
        return
    now = approval_of(recovery.resource.uid, recovery.spec, await recovery.target(), queues)
    if now.parts.messages != approved.parts.messages:
        raise AwaitingChange(
            Reason.APPROVAL_OUTDATED,
            f'no job is enqueued: target "{recovery.spec.target_ref.name}" was edited after the start, and message or '
            "tasks of a queue are not as they were approved. Take that edit back, or set spec.cancel to true",
        )


async def _check_author(recovery: Recovery, given: Annotations) -> None:
    """Raise RecoveryError (`AuthorUnknown`) unless the API server has compared the annotations with the users."""
    again = f"create another recovery, with the annotation {AUTHOR}: <your user name, as kubectl auth whoami shows it>"
    if not given.author:
        raise RecoveryError(
            Reason.AUTHOR_UNKNOWN, f"the target does not let the author approve, and no author is named. So {again}"
        )
    if not await recovery.resource.is_author_proven():
        raise RecoveryError(
            Reason.AUTHOR_UNKNOWN,
            "the target does not let the author approve, and the policies of manifests/admission were not in force "
            f"when it was created, so any name may be in its annotations. Apply them; a minute later, {again}",
        )


def _check_tasks(tasks: Collection[str]) -> None:
    """Raise RecoveryError (`SpecTooLarge`, `TaskNotAllowed`) if the tasks cannot be listed for an approval."""
    if len(tasks) > MOST_TASKS:
        raise RecoveryError(
            Reason.SPEC_TOO_LARGE,
            f"the jobs are of {len(tasks)} different tasks, and one approval covers at most {MOST_TASKS}. Spread the "
            "jobs over several recoveries",
        )
    if any(not _is_task_name(task) for task in tasks):
        raise RecoveryError(
            Reason.TASK_NOT_ALLOWED,
            "the document of a job names a task that is longer than 300 characters or has control characters, so it "
            "cannot be listed for an approval. Leave the job out",
        )


def _is_task_name(task: str) -> bool:
    try:
        TypeAdapter(TaskName).validate_python(task)
    except ValidationError:
        return False
    return True


def _message(recovery: Recovery, wanted: ApprovalStatus, would: str, why: str, *, names_approver: bool) -> str:
    changed = named([PARTS[name] for name in wanted.changed])
    again = f" again, because this has changed: {changed}" if changed else ""
    because = f" ({why})" if why else ""
    who = f" {APPROVER}={_WHOAMI}" if names_approver else ""
    until = f"; it fails at {recovery.spec.not_after}" if recovery.spec.not_after else ""
    resource = recovery.resource
    return (
        f"waiting for approval{again}{because}: {would}. To approve it, run: "
        f"kubectl annotate qr/{resource.name} -n {resource.namespace} --overwrite {APPROVE}={wanted.digest}{who}{until}"
    )
