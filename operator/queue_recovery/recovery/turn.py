"""A recovery's turn: before it takes the locks of its queues and stops the workers, others may go first."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NoReturn

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.admission import Admission, Granted, Lock, LockRequest, Slot
from queue_recovery.recovery.errors import AwaitingTurn, locked_by

_REPORT_INTERVAL: Final = 30.0
"""Seconds after which a recovery that waits for its turn says again which ones come before it."""

_REPORTS_PER_SECOND: Final = 4
"""How many of all that wait say so again in a second, so that thousands of them cost no processor time."""


class Turn:
    """One recovery's place in the lines for its locks, and its slots.

    It has one slot while it prepares: while it uses the processor and has not begun. It has another one while its
    workers are stopped.
    """

    __slots__ = ("_admission", "_draining", "_namespace", "_preparing", "_reported", "_request")

    def __init__(self, admission: Admission, namespace: str) -> None:
        """Take what all recoveries share, and the recovery's namespace; it is in no line yet."""
        self._admission = admission
        self._namespace = namespace
        self._request: LockRequest | None = None
        self._preparing: Slot | None = None
        self._draining: Slot | None = None
        self._reported: object = None
        """What comes before it, as it was last told."""

    @property
    def report_interval(self) -> float:
        """Return after how many seconds it says again which ones come before it."""
        return max(_REPORT_INTERVAL, self._admission.waiting / _REPORTS_PER_SECOND)

    def join_lock_queues(self, locks: Collection[Lock], *, created: datetime, name: str) -> None:
        """Join the lines of these locks, unless it has already.

        Args:
            locks: all of them of one target.
            created: when the recovery was created: the oldest go first.
            name: `namespace/name`, which those behind it are told.
        """
        if self._request is None:
            self._request = LockRequest(created=created, name=name, locks=frozenset(locks))
            self._admission.lock_queues.join(self._request)

    def take_drain_slot(self) -> None:
        """Take the slot of one whose workers are stopped, even beyond the limit: an earlier process has begun it."""
        if self._draining is None:
            self._draining = self._admission.draining.take(self._namespace)

    def may_prepare(self) -> bool:
        """Ask for a slot to prepare; tell whether it has one."""
        if self._preparing is None:
            self._preparing = self._admission.preparing.request(self._namespace)
        return self._preparing.is_taken

    def stop_preparing(self) -> None:
        """Let another recovery prepare."""
        if self._preparing is not None:
            self._preparing.release()
            self._preparing = None

    def check_queue_position(self) -> None:
        """Raise AwaitingTurn (`Locked`) while another recovery is before it in one of its lines."""
        ahead = self._ahead()
        if ahead is not None:
            (_, _, queue), first = ahead
            self._reported = first.name
            raise locked_by({f'queue "{queue}"': f'recovery "{first.name}"'}, AwaitingTurn)

    def check_drain_slot(self) -> None:
        """Ask for a slot to stop the workers; raise AwaitingTurn (`Queued`) until it has one."""
        if self._draining is None:
            self._draining = self._admission.draining.request(self._namespace)
        if not self._draining.is_taken:
            self._reported = self._draining.ahead
            _queued(self._draining.ahead)

    def stop_delay(self) -> float:
        """Return after how many seconds it may stop its workers; from now on others may prepare meanwhile."""
        self.stop_preparing()
        return self._admission.stop_delay(self._namespace)

    def release_drain_slot(self) -> None:
        """Let another recovery stop its workers."""
        if self._draining is not None:
            self._draining.release()
            self._draining = None

    def leave(self) -> None:
        """Leave the lines, and give the slots back."""
        self.stop_preparing()
        self.release_drain_slot()
        if self._request is not None:
            self._admission.lock_queues.leave(self._request)
            self._request = None

    @property
    def awaits(self) -> LockRequest | Slot | None:
        """Return what it waits for; None: it has all that it has asked for."""
        if self._preparing is not None and not self._preparing.is_taken:
            return self._preparing
        if self._ahead() is not None:
            return self._request
        return self._draining if self._draining is not None and not self._draining.is_taken else None

    @property
    def has_moved(self) -> bool:
        """Whether others come before it than those that it has last told of."""
        ahead = self._ahead()
        if ahead is not None:
            return ahead[1].name != self._reported
        return self._draining is not None and not self._draining.is_taken and self._draining.ahead != self._reported

    def call_when_granted(self, granted: Granted) -> None:
        """Call that once it has what it waits for now."""
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
