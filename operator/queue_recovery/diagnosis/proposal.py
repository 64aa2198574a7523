"""Which recovery cures a stuck queue, what is told of it, and the name of its proposal. Pure."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from queue_recovery.api.base import Model
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_spec import PurgeSpec, QueueRecoverySpec
from queue_recovery.api.redeliver import RedeliverSpec
from queue_recovery.api.restart import RestartSpec
from queue_recovery.api.select import PurgeSelect
from queue_recovery.api.stuck import StuckSpec
from queue_recovery.api.target import TargetRef
from queue_recovery.diagnosis.stuck_memory import Told
from queue_recovery.diagnosis.stuck_rules import Finding

_MOST_TASKS: Final = 100
_MOST_IDS: Final = 1000
_LONGEST_ID: Final = 256
"""What `purge.select` takes."""

_LONGEST_TASK: Final = 299
"""Characters; a look remembers 300, so one of 300 may be the beginning of a longer name."""

_LONGEST_QUEUE: Final = 30
"""Characters of a queue's name in that of a proposal, which has at most 63: workers are labelled with it."""

_Remedy = Callable[[Finding, StuckSpec], Mapping[str, Model | None] | None]
"""Returns parts of a recovery's spec; None: the finding does not say enough for one."""


def _take_poison(finding: Finding, spec: StuckSpec) -> Mapping[str, Model | None] | None:
    """Take the messages, if all of them were seen just now; otherwise those of their tasks, if some were seen."""
    del spec
    if not finding.messages:
        return None  # it may be over, and the others of its tasks are healthy
    ids = _nameable((one.task_id or "" for one in finding.messages), _LONGEST_ID)
    if finding.saw_all and 0 < len(ids) == len(finding.messages) <= _MOST_IDS:
        return {"purge": PurgeSpec(select=PurgeSelect(task_ids=ids))}
    tasks = _nameable(finding.tasks, _LONGEST_TASK)
    return {"purge": PurgeSpec(select=PurgeSelect(tasks=tasks))} if 0 < len(tasks) <= _MOST_TASKS else None


def _take_loop(finding: Finding, spec: StuckSpec) -> Mapping[str, Model | None] | None:
    """Take what has been retried as often as what is in the loop, and is of the same tasks."""
    tasks = _nameable(finding.tasks, _LONGEST_TASK)
    if not 0 < len(tasks) <= _MOST_TASKS:
        return None
    return {"purge": PurgeSpec(select=PurgeSelect(tasks=tasks, min_retries=spec.retry_loop_retries))}


_REMEDIES: Final[Mapping[Reason, _Remedy]] = {
    Reason.POISON_MESSAGE: _take_poison,
    Reason.RETRY_LOOP: _take_loop,
    Reason.DEAF_WORKERS: lambda *_: {"purge": PurgeSpec(mode="None"), "restart": RestartSpec(annotate=True)},
    Reason.UNDECODABLE_MESSAGES: lambda *_: {"purge": PurgeSpec(take_unreadable=True)},
    Reason.STRANDED_MESSAGES: lambda *_: {"purge": PurgeSpec(mode="None"), "redeliver": RedeliverSpec()},
    Reason.HOARDED_MESSAGES: lambda *_: None,
    Reason.RISING_DEPTH: lambda *_: None,
}

_DECIDE: Final = "Read its plan, then start it or delete it"

_PURPOSES: Final[Mapping[Reason, str]] = {
    Reason.POISON_MESSAGE: f"purges what may kill the workers. {_DECIDE}",
    Reason.RETRY_LOOP: "purges the loop. Its plan says whether the errors are transient, if they can be read. If they "
    "are, delete it and wait; otherwise fix the task and start it",
    Reason.DEAF_WORKERS: "restarts the workers. If they run a task that takes so long (celery inspect active says so), "
    "delete it; otherwise start it",
    Reason.UNDECODABLE_MESSAGES: "purges the queue: it quarantines all messages, also Celery's. Find out which program "
    "wrote the others, then start it. Another recovery with restoreFrom and as: New puts back what can be read",
    Reason.STRANDED_MESSAGES: f"gives back at once what no worker holds. {_DECIDE}",
}
"""What a proposed recovery does, and what to do with it."""


def proposed(finding: Finding, spec: StuckSpec, *, target: str, queue: str) -> QueueRecoverySpec | None:
    """Return the recovery that cures it, suspended; None: none does, or too little is known.

    Only fields that matter are set, so that it reads as a person would have written it.
    """
    parts = _REMEDIES[finding.reason](finding, spec) if finding.is_sure else None
    if parts is None:
        return None
    return QueueRecoverySpec.model_validate(
        {"target_ref": TargetRef(name=target), "queue": queue, "jobs": [], **parts, "suspend": True}
    )


def with_proposal(told: Told, reason: Reason, name: str) -> Told:
    """Return what is told of a cause for which this recovery was proposed; a status may name one for any cause."""
    purpose = _PURPOSES.get(reason, f"cures it. {_DECIDE}")
    return replace(told, proposal=name, instead=f'QueueRecovery "{name}" was proposed, which {purpose}')


def curable(findings: Sequence[Finding], told: Collection[Reason]) -> Sequence[Finding]:
    """Return the causes of one queue that are to be cured now.

    Messages that kill workers are purged before those are given back that killed workers have left: they are the same.

    Args:
        findings: of this look.
        told: all causes that are told of the queue.
    """
    is_poisoned = Reason.POISON_MESSAGE in told
    return [one for one in findings if not (is_poisoned and one.reason == Reason.STRANDED_MESSAGES)]


def proposal_name(target: str, queue: str, cause: str, since: str) -> str:
    """Return the name of the proposal for an incident: always the same, and another one for the next incident."""
    incident = f"{target}\0{queue}\0{cause}\0{since}"
    digest = blake2b(incident.encode(errors="replace"), digest_size=5).hexdigest()
    shown = re.sub(r"[^a-z0-9]+", "-", queue.lower())[:_LONGEST_QUEUE].strip("-") or "queue"
    words = re.sub(r"(?<!^)(?=[A-Z])", "-", cause).lower()
    return f"{shown}-{words}-{digest}"


def _nameable(names: Iterable[str], longest: int) -> list[str]:
    """Return the names that a spec may have, sorted: any client of the broker may have chosen them."""
    return sorted({name for name in names if 0 < len(name) <= longest and name.isprintable()})
