"""The demo's output: in colour on a terminal, as plain text otherwise."""

from __future__ import annotations

import textwrap
from typing import Final

from rich.console import Console
from rich.text import Text

_WIDTH: Final = 100


class Narrator:
    """Prints text, commands, output and facts, each in its own style."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def chapter(self, title: str) -> None:
        """Begin a new chapter of the story."""
        self._print(f"\n{title}\n{'=' * len(title)}", "bold magenta")

    def say(self, text: str) -> None:
        """Print an explanation; the text is wrapped."""
        self._print("\n" + textwrap.fill(text, _WIDTH), "")

    def command(self, text: str) -> None:
        """Print a command."""
        self._print(f"\n$ {text}", "bold cyan")

    def caption(self, text: str) -> None:
        """Print the source of the lines that follow."""
        self._print(f"\n{text}:", "bold")

    def output(self, line: str) -> None:
        """Print a line of a program's output, unchanged."""
        self._print(line, "dim")

    def fact(self, text: str) -> None:
        """Print a fact that has been checked."""
        self._print(f"  ✓ {text}", "green")

    def failure(self, text: str) -> None:
        """Print why the demo cannot continue."""
        self._print(f"\n✗ {text}", "bold red")

    def _print(self, text: str, style: str) -> None:
        # As Text, so that brackets in a program's output are not parsed as markup. Only the terminal wraps it.
        self._console.print(Text(text, style=style), soft_wrap=True)
