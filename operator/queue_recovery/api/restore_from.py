"""Which messages a recovery puts back, when it undoes an earlier one."""

from typing import Literal

from pydantic import Field

from queue_recovery.api.base import LIST_SET, Model, ObjectName
from queue_recovery.api.select import TaskId


class RestoreFrom(Model):
    """Messages in the quarantine of an earlier recovery of the same queue."""

    name: ObjectName = Field(description="The earlier QueueRecovery, in this namespace; it must have ended.")
    task_ids: list[TaskId] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Put back only the messages with these Celery task ids. Left out: all of them, except those whose "
        "job the earlier recovery has enqueued again.",
        json_schema_extra=LIST_SET,
    )
    form: Literal["Original", "New"] = Field(
        "Original",
        alias="as",
        description="Original: the same bytes. New: each as a new message, with its own ids and no retries; messages "
        "whose headers cannot be read stay in the quarantine.",
    )
