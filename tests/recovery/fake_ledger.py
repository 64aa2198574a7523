"""A ledger in memory, with the same test of what was read before."""

from queue_recovery.api.ledger import LedgerEntry
from queue_recovery.recovery.ports.resource import Superseded
from tests.recovery.faults import Faults


class FakeLedger(Faults):
    """All entries of a namespace; methods are `ledger_read` and `ledger_write`."""

    def __init__(self, log: list[str]) -> None:
        """Begin empty."""
        super().__init__(log)
        self.entries: dict[str, LedgerEntry] = {}

    def entry(self, key: str) -> "FakeEntry":
        """Return the entry of this key."""
        return FakeEntry(self, key)

    def called(self, method: str) -> None:
        """Record a call; raise the error that a test has prepared."""
        self._called(method)


class FakeEntry:
    """One entry. Implements `recovery.ports.Ledger`."""

    def __init__(self, ledger: FakeLedger, key: str) -> None:
        """Take the ledger and the key."""
        self._ledger = ledger
        self._key = key
        self._is_read = False
        self._known: LedgerEntry | None = None

    async def read(self) -> LedgerEntry | None:
        if not self._is_read:
            self._ledger.called("ledger_read")
            self._known, self._is_read = self._ledger.entries.get(self._key), True
        return self._known

    async def write(self, entry: LedgerEntry | None) -> None:
        known = await self.read()
        self._ledger.called("ledger_write")
        if self._ledger.entries.get(self._key) != known:
            self._is_read = False
            raise Superseded
        if entry is None:
            self._ledger.entries.pop(self._key, None)
        else:
            self._ledger.entries[self._key] = entry
        self._known = entry
