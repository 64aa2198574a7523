"""Choose which messages of an earlier recovery's quarantine are restored."""

from enum import Enum, auto

from queue_recovery.broker.connection.values import Value
from queue_recovery.broker.layout.envelope import envelope_of, read_entry, read_message
from queue_recovery.broker.layout.headers import task_id
from queue_recovery.broker.quarantine.new_message import can_be_new
from queue_recovery.broker.run.record import Record
from queue_recovery.recovery.ports import Restore


class Fate(Enum):
    """What happens to a quarantined message: it is restored, or why it stays."""

    RESTORED = auto()
    NOT_NAMED = auto()
    ENQUEUED_AGAIN = auto()
    """Its job was enqueued again."""
    UNFIT = auto()
    """No new message can be written from it."""
    UNREADABLE = auto()
    """It cannot be cut out of its entry of `unacked`."""


class Choice:
    """Which messages are restored."""

    def __init__(self, restore: Restore, earlier: Record) -> None:
        """Choose among the messages of an earlier run."""
        self.earlier = earlier
        self._task_ids = restore.task_ids
        self._enqueued_again = earlier.enqueued_again
        self._as_new = restore.as_new
        self.takes_all = restore.task_ids is None and not self._enqueued_again and not restore.as_new

    def fate(self, message: Value) -> Fate:
        """Return what happens to a message; one that cannot be read has no id, and no new one can be written."""
        if self.takes_all:
            return Fate.RESTORED
        chosen = self._chosen(read_message(message))
        if chosen is Fate.RESTORED and self._as_new and not (isinstance(message, bytes) and can_be_new(message)):
            return Fate.UNFIT
        return chosen

    def fate_of_entry(self, entry: Value) -> Fate:
        """Return what happens to the message of an entry of `unacked`; one that cannot be cut out of it stays."""
        if isinstance(entry, bytes):
            message = envelope_of(entry)
            return Fate.UNREADABLE if message is None else self.fate(message)
        held = read_entry(entry)
        if held is None:
            return Fate.UNREADABLE
        chosen = Fate.RESTORED if self.takes_all else self._chosen(held.envelope)
        return Fate.UNFIT if chosen is Fate.RESTORED and self._as_new else chosen

    def _chosen(self, envelope: object) -> Fate:
        name = task_id(envelope)
        if self._task_ids is not None:
            return Fate.RESTORED if name in self._task_ids else Fate.NOT_NAMED
        return Fate.ENQUEUED_AGAIN if name in self._enqueued_again else Fate.RESTORED
