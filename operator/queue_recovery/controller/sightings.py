"""What was last seen of the objects of one namespace that a recovery may wait for."""

import asyncio
from collections.abc import Hashable


class Sightings:
    """Notes of a namespace's targets, Secrets, rights and awaited recoveries, by those who see them.

    The operator may not watch Secrets, and nobody can watch rights. The board of targets reads both of every target at
    an interval anyway, and recoveries are watched, so a recovery that waits for one asks nothing itself: it is woken
    when another state is seen.
    """

    def __init__(self) -> None:
        """Begin without notes."""
        self.changes = 0
        """How often something was seen to be different from before."""
        self._states: dict[str, Hashable] = {}
        self._news = asyncio.Event()

    def see(self, what: str, state: Hashable) -> bool:
        """Note the state in which something was found, and return whether that is a change.

        A state is what tells it from another one; None when it is not there. The first note of something is no change:
        who waits for it has read it, and so noted it before.
        """
        if self._states.setdefault(what, state) == state:
            return False
        self._states[what] = state
        self.changes += 1
        self._news.set()
        self._news = asyncio.Event()
        return True

    def knows(self, what: str) -> bool:
        """Tell whether something has been noted, so that somebody may wait for it to change."""
        return what in self._states

    async def changed(self, since: int) -> None:
        """Return once `changes` is another number."""
        while self.changes == since:
            await self._news.wait()
