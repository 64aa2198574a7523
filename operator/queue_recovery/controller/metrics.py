"""The operator's Prometheus metrics, made from the rows that the reference lists."""

import asyncio
import math
import time
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from queue_recovery.api import metrics as rows
from queue_recovery.api.metrics import Metric
from queue_recovery.api.reasons import Outcome, Reason
from queue_recovery.api.recovery_status import QueueRecoveryStatus
from queue_recovery.api.target import QueueTargetStatus
from queue_recovery.controller.target_metrics import TargetGauges
from queue_recovery.recovery.phase import TERMINAL, is_terminal

_FRESH_SECONDS = 1.0
"""How long a rendered page is reused."""

_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)


class Metrics:
    """All instruments, in a registry of their own."""

    def __init__(self, *, with_names: bool = False) -> None:
        """Make one instrument for each row.

        Args:
            with_names: whether metrics of targets have a series for each target and queue.
        """
        self._registry = CollectorRegistry()
        self.leader = self._gauge(rows.LEADER)
        self._finished = self._counter(rows.RECOVERIES_FINISHED)
        self._quarantined = self._counter(rows.MESSAGES_QUARANTINED)
        self._redelivered = self._counter(rows.MESSAGES_REDELIVERED)
        self._enqueued = self._counter(rows.JOBS_ENQUEUED)
        self._skipped = self._counter(rows.JOBS_SKIPPED)
        # Counters begin at 0: increase() does not count the first value of a new series.
        for phase in sorted(TERMINAL):
            self._finished.labels(phase.value)
        for reason in Reason:
            if reason.outcome is Outcome.SKIPPED:
                self._skipped.labels(reason.value)
        self._duration = Histogram(
            rows.PHASE_DURATION.name,
            rows.PHASE_DURATION.help,
            rows.PHASE_DURATION.labels,
            registry=self._registry,
            buckets=_BUCKETS,
        )
        self._phase_since: dict[str, float] = {}
        """When each recovery entered its phase, by UID; phases entered before this process began are not measured."""
        self.active = self._gauge(rows.ACTIVE)
        self._target_gauges = TargetGauges(self._registry, with_names=with_names)
        self._targets: dict[tuple[str, str], QueueTargetStatus] = {}
        """What the last check of each target found, by namespace and name."""
        self._rendering = asyncio.Lock()
        self._rendered = -math.inf
        self._page = b""

    async def page(self) -> bytes:
        """Return the metrics in Prometheus' text format, at most a second old."""
        async with self._rendering:
            if time.monotonic() - self._rendered >= _FRESH_SECONDS:
                # Thousands of series take longer than the event loop may be blocked.
                self._page = await asyncio.to_thread(self._render, dict(self._targets))
                self._rendered = time.monotonic()
            return self._page

    def changed(self, uid: str, before: QueueRecoveryStatus, after: QueueRecoveryStatus) -> None:
        """Record a change of status: the duration of a phase, and a recovery's end."""
        if after.phase != before.phase:
            now = time.monotonic()
            since = self._phase_since.pop(uid, None)
            if since is not None and before.phase is not None:
                self._duration.labels(before.phase.value).observe(now - since)
            if not is_terminal(after):
                self._phase_since[uid] = now
        if is_terminal(after) and not is_terminal(before):
            self._ended(after)

    def target_checked(self, namespace: str, name: str, status: QueueTargetStatus) -> None:
        """Show what a check of a target found."""
        self._targets[namespace, name] = status

    def target_gone(self, namespace: str, name: str) -> None:
        """Forget a target."""
        self._targets.pop((namespace, name), None)

    def _render(self, targets: Mapping[tuple[str, str], QueueTargetStatus]) -> bytes:
        self._target_gauges.show(targets)
        return generate_latest(self._registry)

    def _ended(self, status: QueueRecoveryStatus) -> None:
        self._finished.labels(str(status.phase)).inc()
        self._quarantined.inc(status.messages.quarantined if status.messages else 0)
        self._redelivered.inc(status.redelivered.redelivered if status.redelivered else 0)
        self._enqueued.inc(status.jobs.enqueued)
        for job in status.skipped:
            self._skipped.labels(job.reason).inc()

    def _counter(self, row: Metric) -> Counter:
        return Counter(row.name.removesuffix("_total"), row.help, row.labels, registry=self._registry)

    def _gauge(self, row: Metric) -> Gauge:
        return Gauge(row.name, row.help, row.labels, registry=self._registry)
