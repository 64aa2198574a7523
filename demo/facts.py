"""Facts: statements of the demo that are checked before they are printed."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from demo.narrate import Narrator

T = TypeVar("T")


class FactError(Exception):
    """A statement of the demo is false."""


class Facts:
    """Checks statements: prints a true one, and ends the demo at a false one."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator

    def equal(self, statement: str, found: T, expected: T) -> None:
        """State that two things are equal.

        Raises:
            FactError: they are not; both are in the message.
        """
        if found != expected:
            raise FactError(f"{statement}: this does not hold\n  expected: {expected!r}\n  found:    {found!r}")
        self._narrator.fact(statement)

    def holds(self, statement: str, found: object) -> None:
        """State that something is true, and judge by `found`.

        Raises:
            FactError: it is false, zero or empty.
        """
        if not found:
            raise FactError(f"{statement}: this does not hold\n  found: {found!r}")
        self._narrator.fact(statement)
