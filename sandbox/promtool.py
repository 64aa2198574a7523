"""Finds or builds promtool, which checks and tests the alerts; `python -m sandbox.promtool` does just this."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sandbox.go_build import GoProgram, built, print_built

PROMTOOL: Final = GoProgram(
    slug="promtool",
    title="promtool",
    minutes="three minutes",
    module=Path(__file__).resolve().parent / "promtool_binary",
    package="github.com/prometheus/prometheus/cmd/promtool",
    # Without the clients of all clouds, whose machines it could discover.
    tags="remove_all_sd",
    names=(),
)


def find_promtool() -> Path:
    """Return the program, building it first if it is not built yet; raises GoError."""
    return built(PROMTOOL) / PROMTOOL.slug


if __name__ == "__main__":
    print_built(PROMTOOL)
