"""Reads which tasks of the messages that workers hold have been started."""

import asyncio
from collections.abc import Mapping

from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.diagnosis.run_times import StartedTasks
from queue_recovery.diagnosis.stuck_evidence import QueueLook
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.evidence_sources import SOURCE_SECONDS, read_results
from queue_recovery.recovery.ports.environment import Environment


async def started_tasks(
    spec: QueueTargetSpec, environment: Environment, looks: Mapping[str, QueueLook]
) -> StartedTasks | None:
    """Return which of the tasks that these looks have seen have been started; None: that cannot be read.

    Args:
        spec: of the target, which has `diagnosis.results`.
        environment: its namespace.
        looks: what was seen of each queue.
    """
    digests = {
        one.task_id: one.id
        for look in looks.values()
        for one in look.sightings
        if one.task_id is not None and one.id is not None
    }
    processes = {}
    if digests:
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                results = await read_results(environment, spec, list(digests))
        except (RecoveryError, TimeoutError):
            return None  # another condition tells of it
        processes = {
            digests[task_id]: result.started_by for task_id, result in results.items() if result.started_by is not None
        }
    return StartedTasks(processes=processes, at=environment.now())
