"""The sources of evidence that a target names: its rules, and Celery's results."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.diagnosis.evidence import TaskResult
from queue_recovery.diagnosis.rules import is_valid
from queue_recovery.diagnosis.sentences import NOT_KNOWN
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.origins import of_results
from queue_recovery.recovery.ports.environment import Environment

SOURCE_SECONDS: Final = 5.0
"""For each source of evidence: nobody waits longer for a server that does not answer."""


async def invalid_rules(target: QueueTargetSpec) -> Sequence[int]:
    """Return the numbers of the target's rules that match nothing, because their expression is none."""
    found: list[int] = []
    for number, rule in enumerate(target.diagnosis.rules):
        if not is_valid(rule):
            found.append(number)
        await asyncio.sleep(0)
    return found


def unused_sources(target: QueueTargetSpec, *, lists_jobs: bool) -> list[str]:
    """Say what would let errors be known, none of which is. Pure.

    Args:
        target: that says where evidence is.
        lists_jobs: whether the recovery lists jobs, whose documents may have errors.
    """
    store, ways = target.job_store, list[str]()
    if store is not None and not store.mongodb.fields.error:
        ways.append("map fields.error in the target's jobStore")
    elif store is not None and not lists_jobs:
        ways.append("list the jobs, whose documents have their errors")
    if target.diagnosis.results is None:
        ways.append("set diagnosis.results")
    if not ways:
        ways.append("let Celery store the results of these tasks, so without ignore_result")
    return [f"{NOT_KNOWN}: {', or '.join(ways)}"]


async def read_results(
    environment: Environment, target: QueueTargetSpec, task_ids: Sequence[str]
) -> Mapping[str, TaskResult]:
    """Return Celery's results of tasks, by id; raises RecoveryError, which names the field and the Secret."""
    try:
        results = await environment.results(target)
        try:
            return await results.read(task_ids)
        finally:
            await results.aclose()
    except RecoveryError as error:
        raise of_results(error, target) from None
