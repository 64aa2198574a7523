"""A recovery's turn: before it takes the locks of its queues and stops the workers, others may go first."""

from collections.abc import Collection
from datetime import datetime
from typing import Final, NoReturn

from queue_recovery.api.reasons import Reason
from queue_recovery.recovery.admission import Admission, Place, Slot
from queue_recovery.recovery.errors import AwaitingTurn, locked_by

_RETELL: Final = 30.0
"""Seconds after which a recovery that waits for its turn says again which ones come before it."""

_RETOLD_PER_SECOND: Final = 4
"""How many of all that wait say so again in a second, so that thousands of them cost no processor time."""


class Turn:
    """One recovery's place in the lines for its locks, and its slot among those whose workers are stopped."""

    def __init__(self, admission: Admission, *, created: datetime, namespace: str, name: str, target: str) -> None:
        """Take what all recoveries share, and which one this is; it is in no line yet."""
        self._admission = admission
        self._created = created
        self._namespace = namespace
        self._name = name
        self._target = target
        self._place: Place | None = None
        self._slot: Slot | None = None

    @property
    def has_place(self) -> bool:
        """Tell whether it is in line."""
        return self._place is not None

    @property
    def retell_seconds(self) -> float:
        """Return after how many seconds it says again which ones come before it."""
        return max(_RETELL, self._admission.waiting / _RETOLD_PER_SECOND)

    def stand_in_line(self, queues: Collection[str]) -> None:
        """Join the lines of these queues, unless it has already."""
        if self._place is None:
            locks = [(self._namespace, self._target, queue) for queue in queues]
            self._place = self._admission.place(
                created=self._created, name=f"{self._namespace}/{self._name}", locks=locks
            )

    def go_on(self, queues: Collection[str], *, stops_workers: bool) -> None:
        """Take the place of a recovery that an earlier process has let through."""
        self.stand_in_line(queues)
        if stops_workers and self._slot is None:
            self._slot = self._admission.draining.take(self._namespace)

    def refuse_behind(self) -> None:
        """Raise AwaitingTurn (`Locked`) while another recovery is before it in one of its lines."""
        ahead = self._admission.lines.ahead_of(self._place) if self._place is not None else None
        if ahead is not None:
            (_, _, queue), first = ahead
            raise locked_by({f"queue {queue!r}": first.name}, AwaitingTurn)

    def refuse_queued(self) -> None:
        """Ask for a slot; raise AwaitingTurn (`Queued`) until it has one."""
        if self._slot is None:
            self._slot = self._admission.draining.ask(self._namespace)
        if not self._slot.is_taken:
            _queued(self._slot.before)

    def give_slot_back(self) -> None:
        """Let another recovery stop its workers."""
        if self._slot is not None:
            self._slot.give_back()
            self._slot = None

    def leave(self) -> None:
        """Leave the lines, and give the slot back."""
        self.give_slot_back()
        if self._place is not None:
            self._admission.lines.leave(self._place)
            self._place = None

    async def comes(self) -> None:
        """Return once it is first in its lines, or has the slot that it has asked for."""
        if self._slot is not None:
            await self._slot.changed.wait()
        elif self._place is not None:
            await self._place.changed.wait()


def _queued(before: int) -> NoReturn:
    first = {0: "it comes next", 1: "1 recovery comes before it"}.get(before, f"{before} recoveries come before it")
    raise AwaitingTurn(
        Reason.QUEUED,
        f"{first}; the operator stops the workers of a limited number of recoveries at once "
        "(QUEUE_RECOVERY_MAX_DRAINING), and namespaces take turns",
    )
