"""The interface to one entry of the namespace's ledger."""

from typing import Protocol

from queue_recovery.api.ledger import LedgerEntry


class Ledger(Protocol):
    """The entry of one recovery's name and spec, which outlives the recovery."""

    async def read(self) -> LedgerEntry | None:
        """Return the entry as last read or written here; None: there is none.

        Raises RecoveryError (`LedgerLost`, `LedgerUnreadable`, `Forbidden`, `KubernetesUnavailable`).
        """
        ...

    async def write(self, entry: LedgerEntry | None) -> None:
        """Store the entry, or remove it, if the stored one is unchanged since it was last read or written here.

        Raises Superseded when another process has changed it: read it again. Raises RecoveryError (`LedgerRefused`,
        `Forbidden`, `KubernetesUnavailable`).
        """
        ...
