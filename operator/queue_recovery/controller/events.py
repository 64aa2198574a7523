"""Kubernetes events: what `kubectl describe` tells of a recovery's way, and of changes of a target."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time_ns
from typing import Literal, TypeGuard
from uuid import uuid4

from kubernetes.aio.client import (
    ApiClient,
    EventsV1Api,
    EventsV1Event,
    V1ObjectMeta,
    V1ObjectReference,
)

from queue_recovery.api.base import API_VERSION
from queue_recovery.api.conditions import Condition, ConditionType, find
from queue_recovery.api.reasons import Reason
from queue_recovery.api.recovery_status import Plan, QueueRecoveryStatus
from queue_recovery.controller.logs import fields
from queue_recovery.recovery.errors import RecoveryError
from queue_recovery.recovery.figures import unreplaced_note
from queue_recovery.recovery.phase import is_terminal
from queue_recovery.workers.api_errors import translated
from queue_recovery.workers.calls import REQUEST_SECONDS

_LOG = logging.getLogger(__name__)
_NOTE_AT_MOST = 1024
"""Characters; what events.k8s.io accepts."""

Kind = Literal["QueueRecovery", "QueueTarget"]

_ACTIONS: Mapping[Kind, str] = {"QueueRecovery": "Recover", "QueueTarget": "Check"}
"""What the operator was doing."""

_WARNINGS = frozenset(str(reason) for reason in Reason if reason.outcome.warns)


@dataclass(frozen=True, kw_only=True)
class Event:
    """One entry."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str


def events_between(before: QueueRecoveryStatus, after: QueueRecoveryStatus) -> Iterator[Event]:
    """Yield what is worth an event in a change of status: a new phase, a new obstacle, lost canvas.

    Pure.
    """
    doing = find(after.conditions, ConditionType.READY)
    if doing is None or after.phase is None:
        return
    if after.ending is not None and doing.reason == after.ending.reason and not is_terminal(after):
        return  # told with the terminal status
    was = find(before.conditions, ConditionType.READY)
    if after.phase != before.phase:
        yield Event(type=_kind(doing.reason), reason=doing.reason, note=f"{after.phase.value}: {after.message}")
    elif was is None or doing.reason != was.reason:
        yield Event(type=_kind(doing.reason), reason=doing.reason, note=after.message)
    if after.plan is not None and after.plan != before.plan and (note := _canvas_lost(after.plan)):
        yield Event(type=_kind(Reason.BREAKS_CANVAS), reason=Reason.BREAKS_CANVAS, note=note)
    restarted = find(after.conditions, ConditionType.RESTARTED)
    if _is_at_zero(restarted) and not _is_at_zero(find(before.conditions, ConditionType.RESTARTED)):
        yield Event(type=_kind(Reason.WORKERS_AT_ZERO), reason=Reason.WORKERS_AT_ZERO, note=restarted.message)
    if is_terminal(after) and not is_terminal(before) and (note := unreplaced_note(after)):
        yield Event(type=_kind(Reason.NOT_REPLACED), reason=Reason.NOT_REPLACED, note=note)


class EventPoster:
    """Posts the events of recoveries and targets, in the order in which they come, without holding anybody up."""

    def __init__(self, api: ApiClient, instance: str) -> None:
        """Take the connection and the name of this process, as events report it."""
        self._api = EventsV1Api(api)
        self._instance = instance
        self._queue: asyncio.Queue[tuple[Mapping[str, str], EventsV1Event]] = asyncio.Queue(maxsize=1000)

    def post(self, event: Event, *, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Take an event for the object of that kind and name; drops it when the API server has been away for long."""
        body = EventsV1Event(
            # kubectl shows events of one second in the order of their names.
            metadata=V1ObjectMeta(name=f"{name[:200]}.{time_ns():016x}{uuid4().hex[:4]}", namespace=namespace),
            event_time=datetime.now(UTC),
            reporting_controller="queuerecovery.dev/operator",
            reporting_instance=self._instance,
            action=_ACTIONS[kind],
            reason=event.reason,
            type=event.type,
            note=event.note[:_NOTE_AT_MOST],
            regarding=V1ObjectReference(api_version=API_VERSION, kind=kind, namespace=namespace, name=name, uid=uid),
        )
        names = {"recovery" if kind == "QueueRecovery" else "target": name}
        about = fields(namespace, **names, reason=event.reason)
        try:
            self._queue.put_nowait((about, body))
        except asyncio.QueueFull:
            _LOG.warning("the event is dropped: too many wait to be posted", extra=about)

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            about, body = await self._queue.get()
            try:
                with translated():
                    await self._api.create_namespaced_event(about["namespace"], body, _request_timeout=REQUEST_SECONDS)
            except RecoveryError as error:
                _LOG.warning("the event was not posted: %s", error.message, extra=about)
            finally:
                self._queue.task_done()

    async def flush(self, seconds: float) -> None:
        """Wait until all events are posted, at most this long."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            _LOG.warning("%d events were not posted before the end", self._queue.qsize())


def _is_at_zero(restarted: Condition | None) -> TypeGuard[Condition]:
    return restarted is not None and restarted.reason == Reason.WORKERS_AT_ZERO


def _kind(reason: str) -> Literal["Normal", "Warning"]:
    return "Warning" if reason in _WARNINGS else "Normal"


def _canvas_lost(plan: Plan) -> str | None:
    """Say what will not happen when the messages of this plan are taken, or None if nothing hangs on them."""
    canvas = plan.canvas
    if canvas is None:
        return None
    lost = [
        f"{count} {what}"
        for count, what in (
            (canvas.chords, "are members of chords, whose bodies will never run"),
            (canvas.groups, "are members of groups, whose results stay incomplete"),
            (canvas.chains, "carry the rest of a chain, which will not run"),
            (canvas.callbacks, "carry callbacks or errbacks, which will not run"),
        )
        if count
    ]
    if not lost:
        return None
    aside = []
    if canvas.looked_at < plan.purge:
        aside.append(f"{canvas.looked_at} looked at")
    if canvas.unreadable:
        aside.append(f"{canvas.unreadable} with a body that is not looked into")
    looked = f" ({', '.join(aside)})" if aside else ""
    return (
        f"Of {plan.purge} messages to be taken{looked}: {'; '.join(lost)}. The quarantined messages still hold it; "
        "jobs that are enqueued as new tasks do not, so start what came after them yourself"
    )
