"""Facts: statements of the demo that are checked before they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from demo.narrate import Narrator

T = TypeVar("T")


class FactError(Exception):
    """Something that the demo states does not hold."""


class Facts:
    """Checks what is found against what is expected, tells it if it holds, and ends the demo if not."""

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
        """State that something is true, where `found` is what it is judged by.

        Raises:
            FactError: it is false, zero or empty.
        """
        if not found:
            raise FactError(f"{statement}: this does not hold\n  found: {found!r}")
        self._narrator.fact(statement)
