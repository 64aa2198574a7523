"""Reads which tasks of the messages that workers hold have been started."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from queue_recovery.api.target import QueueTargetSpec
from queue_recovery.controller.logs import place_of
from queue_recovery.diagnosis.evidence import TaskProcess
from queue_recovery.diagnosis.run_times import StartedTasks
from queue_recovery.diagnosis.stuck_evidence import QueueLook
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.evidence_sources import SOURCE_SECONDS, read_results
from queue_recovery.recovery.ports.environment import Environment

_LOG = logging.getLogger(__name__)

_ALLOWANCE: Final = timedelta(seconds=5)
"""By which the clocks of workers and of the operator may differ."""


async def started_tasks(
    spec: QueueTargetSpec, environment: Environment, looks: Mapping[str, QueueLook], *, uptime_seconds: int | None
) -> StartedTasks | None:
    """Return which of the tasks that these looks have seen have been started; None: that cannot be read.

    A server that was started since a delivery may have both the message and the result from a snapshot.

    Args:
        spec: of the target, which has `diagnosis.results`.
        environment: its namespace.
        looks: what was seen of each queue.
        uptime_seconds: how long the broker's server has been running; None: not known.
    """
    if uptime_seconds is None:
        return None
    since = environment.now() - timedelta(seconds=uptime_seconds) + _ALLOWANCE
    digests = {
        one.task_id: one.id
        for look in looks.values()
        for one in look.sightings
        if one.task_id is not None and one.id is not None and one.delivered is not None and one.delivered > since
    }
    processes: dict[bytes, TaskProcess] = {}
    if digests:
        try:
            async with asyncio.timeout(SOURCE_SECONDS):
                results = await read_results(environment, spec, list(digests))
        except (RecoveryError, TimeoutError):
            return None
        except Exception as error:  # noqa: BLE001  # any that a driver raises; the target is checked all the same
            _LOG.debug("reading the results of tasks that run met an unexpected %s", place_of(error))
            return None
        processes = {
            digests[task_id]: result.started_by for task_id, result in results.items() if result.started_by is not None
        }
    return StartedTasks(processes=processes, at=environment.now())
