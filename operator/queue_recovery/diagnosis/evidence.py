"""The evidence from which a verdict is made. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from queue_recovery.diagnosis.failure import Failure

MOST_FACTS: Final = 1000
"""Messages of which facts are collected: those that were retried or redelivered."""


@dataclass(frozen=True, kw_only=True)
class MessageFacts:
    """What the headers say of the past of a message that was retried or redelivered."""

    task_id: str | None
    task: str | None
    retries: int
    """How often the task was retried."""
    redelivered: bool
    """Whether it was given back to the queue and delivered again: its worker stopped, or was killed."""
    sent_by: str | None
    """The host that has sent it: of a retry, the worker; None: not known, or no name of a host."""


@dataclass(frozen=True, kw_only=True)
class TaskProcess:
    """The process that runs a task."""

    host: str
    """What is behind the `@` in the name of its Celery node: by default the name of its pod."""
    pid: int


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """What Celery has stored of a task."""

    failure: Failure | None
    """None: it has not failed."""
    succeeded: bool
    task: str | None
    """Only with `result_extended`, like the next one."""
    retries: int | None
    seen: datetime | None
    """When it was done; None: it is retried, or the time is not known."""
    started_by: TaskProcess | None = None
    """The process that has started it and not ended it; None: none, or the task is not one with `track_started`."""


@dataclass(frozen=True, kw_only=True)
class JobEvidence:
    """What is known of a listed job, or of a message that was retried or redelivered."""

    name: str
    """By which people know it."""
    task: str | None
    stored: Failure | None = None
    """In the job's document."""
    result: TaskResult | None = None
    message: MessageFacts | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerEnd:
    """How often a container of a worker's pod was restarted, and how it ended last."""

    restarts: int
    reason: str
    """As the kubelet reports it, such as `OOMKilled`; empty: it has not ended."""
    exit_code: int
    finished: datetime | None = None
    """When it ended last, by its node's clock."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of why the jobs of a recovery fail."""

    jobs: Sequence[JobEvidence]
    ends: Sequence[ContainerEnd] | None = None
    """Of the workers' containers; None: not looked at."""
    missing: Sequence[str] = ()
    """What could not be read, and the reason."""
