"""What a recovery needs of its run in the broker."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from queue_recovery.recovery.ports.held import HeldMessage
from queue_recovery.recovery.ports.run import Closed, Restored, SeenJob, Taken, Task, Unreplaced


class QueueRun(Protocol):
    """A recovery's run in the broker, of one or several queues; the only interface that changes queues."""

    async def open(self) -> None:
        """Acquire the queues' locks and create the runs in state `preparing`, all or none; idempotent.

        Raises RecoveryError (`Locked` while another recovery holds one of the locks, `AlreadyClosed`).
        """
        ...

    async def freeze(self, seen: Mapping[str, Mapping[str, SeenJob | None]]) -> Mapping[str, SeenJob | None]:
        """Store the state of each job, by queue and key; return, by key, the state that was stored first.

        None: the job has no document.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def take(self, attempt: int = 1, frozen: Collection[str] = ()) -> Taken:
        """Move every message of the queues into the quarantine: batches of `unacked`, then each queue's boundary.

        Messages that the selection does not match, and those of jobs that were frozen as not recoverable, are left.
        Such entries of `unacked` are never moved; such messages of the lists are in the queue again, in their order
        and before all newer ones, when this returns. The frozen jobs' task ids among them are recorded.

        Continues where an earlier call stopped, and returns the totals of all calls. Must be called only while the
        queues have no consumer. If a consumer was running, drain the queues again and call this with the next number:
        each number passes one boundary, no matter how often it is used.

        Args:
            attempt: number of the purge attempt, from 1.
            frozen: keys of all frozen jobs. Nothing more is taken once the frozen state of one of them is lost.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`, `WrongKeyType`, `ForeignQueue`, `SharedRoute`, and
        `UnknownConsumer` while entries of the queues keep coming into `unacked`).
        """
        ...

    async def moved(self) -> int:
        """Return how many messages `take` has quarantined or left so far.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def pass_boundary(self) -> None:
        """Mark the run as purged without taking anything (`purge.mode: None`)."""
        ...

    async def pushed(self) -> frozenset[str]:
        """Return the keys of the jobs that were enqueued.

        Raises RecoveryError (`BrokerLostData`) if the run's record is lost, (`AlreadyClosed`) if it is closed.
        """
        ...

    async def push(self, tasks: Mapping[str, Sequence[Task]]) -> None:
        """Enqueue each task, by queue, whose key has no marker yet; marker and message are one step.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def restore(self) -> Restored:
        """Put messages of the earlier run's quarantine back to the tail of their lists, in their order.

        The run has to be open. All messages become visible in one step, so consumers may run. Continues where an
        earlier call stopped, and returns the totals of all calls.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`, `WrongKeyType`).
        """
        ...

    async def redeliver(self, messages: Sequence[HeldMessage]) -> None:
        """Give messages in `unacked` back to the tail of its list each, those that are to be consumed last first.

        The run has to have passed a boundary. A message that is gone by now, or was delivered again since it was read,
        is left alone, so this may be repeated.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`, `WrongKeyType`).
        """
        ...

    async def redelivered(self) -> int:
        """Return how many messages `redeliver` has given back so far.

        Raises RecoveryError (`BrokerLostData`, `AlreadyClosed`).
        """
        ...

    async def refuse(self) -> None:
        """Refuse processes that still take messages for this run; one round trip per queue, then `close`.

        Raises the first RecoveryError after all queues were tried: a key that another client has written in the place
        of one queue's record leaves no other queue open.
        """
        ...

    async def close(self) -> Closed:
        """Close the run, so that nothing can be taken or pushed any more; creates a closed record if none exists.

        The entries of `unacked` return to their place if the queue has not passed its boundary. If it has, messages
        that are to be left return to the queue in one step, so that their order is kept even if workers are running. A
        run that restores makes visible what it has sorted, and leaves the rest in the quarantine. Messages that the
        broker has lost meanwhile are counted (`Closed.lost`), and do not prevent the closing.
        """
        ...

    async def unreplaced(self) -> Unreplaced:
        """Count the quarantined messages that no job enqueued by this run replaces."""
        ...

    async def release(self, *, expires: datetime, retain: bool) -> None:
        """Release this run's locks, and store when the retention of the quarantines ends.

        If `retain` is False, the quarantines are deleted at once.
        """
        ...
