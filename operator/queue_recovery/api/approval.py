"""Approval: what a target may require before a recovery starts, and what a recovery's status says of it."""

from typing import Annotated, Final, Literal

from pydantic import Field

from queue_recovery.api.base import GROUP, Model, ShownName, TaskName, is_empty, with_rules

APPROVE: Final = f"{GROUP}/approve"
"""Annotation of a recovery: the digest of its plan. Who may set it is for `manifests/admission` to decide."""

APPROVER: Final = f"{GROUP}/approver"
"""Annotation: the user name of who has set that one."""

AUTHOR: Final = f"{GROUP}/author"
"""Annotation: the user name of who has created the recovery."""

MOST_TASKS: Final = 100
"""The most different tasks whose jobs one approval covers: the status lists each of them."""

DIGEST_DIGITS: Final = 32
"""128 bits: somebody who may edit the target cannot find two versions of it with the same digest."""

Digest = Annotated[str, Field(max_length=DIGEST_DIGITS)]


class TargetPolicy(Model):
    """What recoveries of a target need besides permissions."""

    approval: Literal["NotRequired", "Required"] = Field(
        "NotRequired",
        description="Required: a recovery stops after its plan, and holds nothing, until the annotation "
        "`queuerecovery.dev/approve` quotes the digest in its `status.approval`.",
    )
    author_may_approve: bool = Field(
        default=True,
        description="false: the user who has created a recovery may not approve it. Both have to be named in "
        "annotations, which the policies of `manifests/admission` compare with the user; without them such recoveries "
        "fail.",
    )

    diagnosis: Literal["Hold", "Ignore"] = Field(
        "Hold",
        description="Hold: a recovery that would purge messages waits before it starts while `status.plan.diagnosis` "
        "says that the errors are transient. Ignore: it goes on.",
    )

    propose: bool = Field(
        default=False,
        description="true: when a queue of the target is stuck for a cause that a recovery cures, the operator creates "
        "that recovery, once for each incident and with `suspend: true`. It runs when somebody sets that to false.",
    )

    model_config = with_rules(
        [
            {
                "rule": "self.authorMayApprove || self.approval == 'Required'",
                "fieldPath": ".authorMayApprove",
                "message": "authorMayApprove: false requires approval: Required",
            }
        ]
    )


class ApprovalParts(Model):
    """Digests of the parts of what is approved, from which follows what has changed since an approval was asked for."""

    recovery: Digest = Field(description="The UID, and the fields of the spec that cannot change.")
    broker: Digest = Field(description="The target's `broker`.")
    job_store: Digest = Field(description="The target's `jobStore`, if jobs are listed.")
    workers: Digest = Field(description="The names of the queues, and of the workers involved.")
    messages: Digest = Field(description="`message` and `tasks` of the recovered queues, if jobs are listed.")
    jobs: Digest = Field(
        description="The tasks of the jobs. With `restoreFrom`: the recovery whose messages would be put back."
    )


class ApprovalStatus(Model):
    """What has to be approved before the recovery starts, or was."""

    digest: Digest = Field(description="What the annotation `queuerecovery.dev/approve` has to quote.")
    parts: ApprovalParts = Field(description="Digests of its parts.")
    tasks: list[TaskName] = Field(
        [],
        max_length=MOST_TASKS,
        exclude_if=is_empty,
        description="The tasks of the listed jobs. A job that names another one when it is to be enqueued is skipped.",
    )
    changed: list[ShownName] = Field(
        [],
        max_length=len(ApprovalParts.model_fields),
        exclude_if=is_empty,
        description="The parts that have changed since an approval was first asked for, so that it is asked for again.",
    )
    approver: ShownName | None = Field(
        None, description="Who has approved it, as the annotation `queuerecovery.dev/approver` says."
    )
