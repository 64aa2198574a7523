"""What a dry run shows of its plan: some of the messages and jobs, by name."""

from pydantic import Field

from queue_recovery.api.base import Model, Note, ShownName, is_empty

MOST_EXAMPLES = 5


class SkippedJob(Model):
    """A job that was not enqueued."""

    id: str = Field(max_length=320, description="The job's id, or its task with its place in the list.")
    reason: str = Field(max_length=64, description="Why, as one CamelCase word.")
    message: Note = Field("", description="What was found.")


class MessageExample(Model):
    """A message, as its headers name it."""

    task_id: ShownName | None = Field(None, description="Its Celery task id.")
    task: ShownName | None = Field(None, description="Its task; left out where the headers do not say it.")


class JobExample(Model):
    """A job that would be enqueued."""

    id: str = Field(max_length=320, description="The job's id, or its task with its place in the list.")
    task_id: ShownName | None = Field(None, description="The task id in its document now.")


class Unreplaced(Model):
    """Quarantined messages that no enqueued job replaces: their work is not done."""

    count: int = Field(ge=0, description="How many there are.")
    is_exact: bool = Field(
        default=True,
        description="false: there are at least that many. Only 10000 messages are read, and a job whose document has "
        "no task id may replace any of them.",
    )
    examples: list[MessageExample] = Field(
        [], max_length=MOST_EXAMPLES, exclude_if=is_empty, description="Some of them."
    )


class Examples(Model):
    """Some of the messages and jobs of each kind that a plan counts."""

    purge: list[MessageExample] = Field(
        [], max_length=MOST_EXAMPLES, exclude_if=is_empty, description="Messages that would be quarantined."
    )
    leave: list[MessageExample] = Field(
        [], max_length=MOST_EXAMPLES, exclude_if=is_empty, description="Messages that would be left in the queue."
    )
    enqueue: list[JobExample] = Field(
        [], max_length=MOST_EXAMPLES, exclude_if=is_empty, description="Jobs that would be enqueued."
    )
    skip: list[SkippedJob] = Field(
        [], max_length=MOST_EXAMPLES, exclude_if=is_empty, description="Jobs that would be skipped, and why."
    )
