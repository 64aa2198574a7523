"""How the demo speaks: in colour on a terminal, as plain text otherwise."""

from __future__ import annotations

import textwrap
from typing import Final

from rich.console import Console
from rich.text import Text

_WIDTH: Final = 100


class Narrator:
    """Prints what is told, typed, answered and checked, each in a style of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, title: str) -> None:
        """Begin a new part of the story."""
        self._print(f"\n{title}\n{'=' * len(title)}", "bold magenta")

    def say(self, text: str) -> None:
        """Explain something; the text is wrapped."""
        self._print("\n" + textwrap.fill(text, _WIDTH), "")

    def command(self, text: str) -> None:
        """Show a command as it is typed."""
        self._print(f"\n$ {text}", "bold cyan")

    def caption(self, text: str) -> None:
        """Say where the lines come from that follow."""
        self._print(f"\n{text}:", "bold")

    def output(self, line: str) -> None:
        """Show a line that a program answered, unchanged."""
        self._print(line, "dim")

    def fact(self, text: str) -> None:
        """Show something that has been checked."""
        self._print(f"  ✓ {text}", "green")

    def failure(self, text: str) -> None:
        """Show why the demo cannot go on."""
        self._print(f"\n✗ {text}", "bold red")

    def _print(self, text: str, style: str) -> None:
        # As Text, so that brackets in a program's output are not taken for markup; wrapped by the terminal only.
        self._console.print(Text(text, style=style), soft_wrap=True)
