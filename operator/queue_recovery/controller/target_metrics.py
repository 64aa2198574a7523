"""The metrics of targets, from what the last check of each one has found."""

import time
from collections import Counter as Counts
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge

from queue_recovery.api import metrics as rows
from queue_recovery.api.conditions import ConditionType, find
from queue_recovery.api.metrics import Metric
from queue_recovery.api.reasons import Reason
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.recovery.phase import moment

_PARTS = {"broker": ConditionType.BROKER_REACHABLE, "jobStore": ConditionType.JOB_STORE_REACHABLE}

Labels = tuple[str, ...]


class TargetGauges:
    """The gauges of targets."""

    def __init__(self, registry: CollectorRegistry, *, with_names: bool) -> None:
        """Make them; without names there is one series over all targets and queues."""
        self._with_names = with_names
        self._rows = (rows.TARGET_UP, rows.QUEUE_DEPTH, rows.UNACKED, rows.OLDEST_UNACKED, rows.QUEUES_STUCK)
        self._gauges = {row.name: Gauge(row.name, row.help, row.labels, registry=registry) for row in self._rows}

    def show(self, targets: Mapping[tuple[str, str], QueueTargetStatus]) -> None:
        """Set all series, and remove those of targets and queues that are gone."""
        up: dict[Labels, bool] = {}
        depth: Counts[Labels] = Counts()
        unacked: Counts[Labels] = Counts()
        stuck: Counts[Labels] = Counts()
        oldest: dict[Labels, float] = {}
        for key, status in targets.items():
            target = key if self._with_names else ("", "")
            for part, answers in _parts(status).items():
                up[*target, part] = up.get((*target, part), True) and answers
            if status.unacked is not None:
                unacked[target] += status.unacked
            for queue in status.queues:
                place = (*target, queue.name if self._with_names else "")
                depth[*place, "ready"] += queue.ready
                depth[*place, "unacked"] += queue.unacked
                stuck.update((*place, cause.reason) for cause in queue.stuck)
                if queue.oldest_unacked_time is not None:
                    age = max(0.0, time.time() - moment(queue.oldest_unacked_time).timestamp())
                    oldest[place] = max(age, oldest.get(place, age))
        self._set(rows.TARGET_UP, up)
        self._set(rows.QUEUE_DEPTH, depth)
        self._set(rows.UNACKED, unacked)
        self._set(rows.OLDEST_UNACKED, oldest)
        self._set(rows.QUEUES_STUCK, stuck)

    def _set(self, row: Metric, values: Mapping[Labels, float]) -> None:
        gauge = self._gauges[row.name]
        gauge.clear()
        for labels, value in values.items():
            gauge.labels(*labels).set(value)


def _parts(status: QueueTargetStatus) -> dict[str, bool]:
    """Return whether each part of a target answers, without a missing job store.

    What could not be checked counts as not answering, so that the alert is not resolved.
    """
    found = {part: find(status.conditions, kind) for part, kind in _PARTS.items()}
    return {
        part: seen.status == "True" for part, seen in found.items() if seen and seen.reason != Reason.NOT_CONFIGURED
    }
