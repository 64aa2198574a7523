"""Quarantined messages in a status: values of their headers, and never an argument."""

from pydantic import Field

from queue_recovery.api.base import Model, ShownName

MOST_LISTED = 20
"""Messages that a status lists at most: a quarantine may hold millions."""

MOST_RETRIES = 2**31 - 1
"""More retries than a task can have; a larger number is somebody else's."""


class QuarantinedMessage(Model):
    """A message of a quarantine; what its headers do not have is left out."""

    task_id: ShownName | None = Field(None, description="Id of its Celery task.")
    task: ShownName | None = Field(None, description="Name of its task.")
    retries: int | None = Field(None, ge=0, le=MOST_RETRIES, description="How often it was retried.")
    job: ShownName | None = Field(
        None, description="Id of the job whose task it was, if the earlier recovery listed the job by `id`."
    )
    size: int = Field(ge=0, description="Its size in bytes.")
