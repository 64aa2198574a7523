"""Which messages of a queue a recovery takes, when it does not take them all."""

from typing import Annotated

from pydantic import Field

from queue_recovery.api.base import LIST_SET, Model, TaskName, with_rules

LONGEST_TASK_ID = 256
"""Characters of a task id that a spec may name."""

TaskId = Annotated[str, Field(min_length=1, max_length=LONGEST_TASK_ID)]
"""Id of a Celery task."""


class PurgeSelect(Model):
    """Selects messages by their headers: a message is taken if it matches every field that is set.

    Lists are not empty: an empty one would read as "all" to some and as "none" to others.
    """

    tasks: list[TaskName] | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="Messages of one of these tasks.",
        json_schema_extra=LIST_SET,
    )
    task_ids: list[TaskId] | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Messages with one of these Celery task ids.",
        json_schema_extra=LIST_SET,
    )
    min_retries: int | None = Field(
        None, ge=1, le=2147483647, description="Messages that were retried at least this often."
    )

    model_config = with_rules(
        [
            {
                "rule": "has(self.tasks) || has(self.taskIds) || has(self.minRetries)",
                "message": "select is empty: set tasks, taskIds or minRetries, or remove select to take all messages",
            }
        ]
    )
