"""A recovery's turn: its position in the queues for locks, and its slots to prepare and to drain."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NoReturn

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.admission import Admission, Granted, Lock, LockRequest, Slot
from queue_recovery.recovery.errors import AwaitingTurn, locked_by

_REPORT_INTERVAL: Final = 30.0
"""Seconds after which the status of a waiting recovery is updated with its position."""

_REPORTS_PER_SECOND: Final = 4
"""How many waiting recoveries update their status in one second, so that thousands of them stay cheap."""


class Turn:
    """One recovery's position in the queues for its locks, and its slots.

    A recovery has one slot while it prepares, before it has touched anything, and another slot while its workers are
    stopped.
    """

    __slots__ = ("_admission", "_draining", "_namespace", "_preparing", "_reported", "_request")

    def __init__(self, admission: Admission, namespace: str) -> None:
        """Create the turn of a recovery of this namespace, which is in no queue yet."""
        self._admission = admission
        self._namespace = namespace
        self._request: LockRequest | None = None
        self._preparing: Slot | None = None
        self._draining: Slot | None = None
        self._reported: object = None
        """The recovery or the number of recoveries ahead, as last reported in the status."""

    @property
    def report_interval(self) -> float:
        """Return the seconds between two updates of the position in the status."""
        return max(_REPORT_INTERVAL, self._admission.waiting / _REPORTS_PER_SECOND)

    def join_lock_queues(self, locks: Collection[Lock], *, created: datetime, name: str) -> None:
        """Join the queues of these locks, unless the recovery is in them already.

        Args:
            locks: of one target.
            created: when the recovery was created; the oldest is first.
            name: `namespace/name`, for the messages of the recoveries that wait for this one.
        """
        if self._request is None:
            self._request = LockRequest(created=created, name=name, locks=frozenset(locks))
            self._admission.lock_queues.join(self._request)

    def take_drain_slot(self) -> None:
        """Take a drain slot even beyond the limit, for a drain that an earlier process has started."""
        if self._draining is None:
            self._draining = self._admission.draining.take(self._namespace)

    def may_prepare(self) -> bool:
        """Request a slot to prepare, and tell whether it is taken."""
        if self._preparing is None:
            self._preparing = self._admission.preparing.request(self._namespace)
        return self._preparing.is_taken

    def stop_preparing(self) -> None:
        """Release the slot to prepare."""
        if self._preparing is not None:
            self._preparing.release()
            self._preparing = None

    def check_queue_position(self) -> None:
        """Raise AwaitingTurn (`Locked`) while another recovery is ahead in a queue for a lock."""
        ahead = self._ahead()
        if ahead is not None:
            (_, _, queue), first = ahead
            self._reported = first.name
            raise locked_by({f'queue "{queue}"': f'recovery "{first.name}"'}, AwaitingTurn)

    def check_drain_slot(self) -> None:
        """Request a drain slot; raise AwaitingTurn (`Queued`) until it is granted."""
        if self._draining is None:
            self._draining = self._admission.draining.request(self._namespace)
        if not self._draining.is_taken:
            self._reported = self._draining.ahead
            _queued(self._draining.ahead)

    def stop_delay(self) -> float:
        """Release the slot to prepare, and return the seconds until the workers may be stopped."""
        self.stop_preparing()
        return self._admission.stop_delay(self._namespace)

    def release_drain_slot(self) -> None:
        """Release the drain slot."""
        if self._draining is not None:
            self._draining.release()
            self._draining = None

    def leave(self) -> None:
        """Leave the queues, and release the slots."""
        self.stop_preparing()
        self.release_drain_slot()
        if self._request is not None:
            self._admission.lock_queues.leave(self._request)
            self._request = None

    @property
    def awaits(self) -> LockRequest | Slot | None:
        """Return the request that is not granted yet; None: all are granted."""
        if self._preparing is not None and not self._preparing.is_taken:
            return self._preparing
        if self._ahead() is not None:
            return self._request
        return self._draining if self._draining is not None and not self._draining.is_taken else None

    @property
    def has_moved(self) -> bool:
        """Whether the position differs from the one that was last reported."""
        ahead = self._ahead()
        if ahead is not None:
            return ahead[1].name != self._reported
        return self._draining is not None and not self._draining.is_taken and self._draining.ahead != self._reported

    def call_when_granted(self, granted: Granted) -> None:
        """Call `granted` once the request that waits now is granted."""
        awaited = self.awaits
        if awaited is not None:
            awaited.granted = granted

    def _ahead(self) -> tuple[Lock, LockRequest] | None:
        return self._admission.lock_queues.ahead_of(self._request) if self._request is not None else None


def _queued(ahead: int) -> NoReturn:
    position = {0: "next in the queue", 1: "1 recovery is ahead"}.get(ahead, f"{ahead} recoveries are ahead")
    raise AwaitingTurn(
        Reason.QUEUED,
        f"{position}; the operator stops the workers of a limited number of recoveries at once "
        "(QUEUE_RECOVERY_MAX_DRAINING), and namespaces take turns",
    )
