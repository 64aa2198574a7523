"""Finds or builds promtool, which checks and tests the alerts; `python -m sandbox.promtool` does just this."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from sandbox.go_build import GoProgram, built
from sandbox.toolchain import GoError

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


def main() -> None:
    """Build it if it is missing and print where it is."""
    try:
        print(find_promtool())
    except GoError as error:
        sys.exit(f"sandbox: {error}")
    except KeyboardInterrupt:
        sys.exit("sandbox: the build was stopped; only Go's own caches remain")


if __name__ == "__main__":
    main()
