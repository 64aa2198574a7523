"""The last observed versions of the objects that recoveries wait for."""

import asyncio
from collections.abc import Hashable


class ObservedVersions:
    """The versions of a namespace's targets, Secrets, permissions and recoveries.

    The operator may not watch Secrets, and permissions cannot be watched. The target monitor reads both for every
    target at an interval anyway, and recoveries are watched, so a recovery that waits for one of them sends no request:
    it is woken when another version is observed.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self.changes = 0
        """How often an object was observed in another version than before."""
        self._versions: dict[str, Hashable] = {}
        self._changed = asyncio.Event()

    def observe(self, name: str, version: Hashable) -> bool:
        """Record the version of an object, and return whether that is a change.

        The version is None where the object does not exist. The first observation is no change: a recovery that waits
        for the object has read it, and so observed it before.
        """
        if self._versions.setdefault(name, version) == version:
            return False
        self._versions[name] = version
        self.changes += 1
        self._changed.set()
        self._changed = asyncio.Event()
        return True

    def has(self, name: str) -> bool:
        """Return whether an object was observed, so that a recovery may wait for it."""
        return name in self._versions

    async def changed(self, since: int) -> None:
        """Return once `changes` is another number."""
        while self.changes == since:
            await self._changed.wait()
