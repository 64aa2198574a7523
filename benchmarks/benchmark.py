"""The common part of the benchmarks: options for sizes, and a table with minimum, median and ratio."""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass
class Way:
    """One way of doing something, with the figures of each round."""

    name: str
    against: str
    """The way whose figures are the divisor of the ratio; empty: none."""
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def note(self, **figures: float) -> None:
        """Add the figures of one round."""
        for name, value in figures.items():
            self.rounds.setdefault(name, []).append(value)


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One row of a table in `docs/performance.md`."""

    name: str
    """Its module."""
    title: str
    aim: str
    columns: Mapping[str, str]
    """The names of its figures in the table."""
    options: Mapping[str, int]
    """The default sizes, each an option of the command."""
    measure: Callable[..., Awaitable[Sequence[Way]]]
    """Measures; takes the options as keyword arguments."""

    def run(self, **options: int) -> str:
        """Measure, and return the result in Markdown."""
        began = time.monotonic()
        ways = asyncio.run(_collect(self.measure(**options)))
        sizes = ", ".join(f"{name.replace('_', ' ')}: {value:,}" for name, value in options.items())
        took = f"{sizes}; {time.monotonic() - began:.0f} s in all."
        return f"### {self.title}\n\nAim: {self.aim}\n\n{self._table(ways)}\n\n{took[0].upper()}{took[1:]}\n"

    def main(self) -> None:
        """Run it as a command."""
        parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{self.name}", description=self.title)
        for option, default in self.options.items():
            parser.add_argument(f"--{option.replace('_', '-')}", type=int, default=default)
        sys.stdout.write(self.run(**vars(parser.parse_args())))

    def _table(self, ways: Sequence[Way]) -> str:
        used = [column for column in self.columns if any(column in way.rounds for way in ways)]
        heads = [f"{self.columns[column]}: minimum | median | ratio" for column in used]
        lines = [f"| | {' | '.join(heads)} |", "|---|" + "---:|" * 3 * len(used)]
        medians = {way.name: {column: statistics.median(way.rounds[column]) for column in way.rounds} for way in ways}
        for way in ways:
            cells = [way.name]
            for column in used:
                if column not in way.rounds:
                    cells += [""] * 3
                    continue
                median, peer = medians[way.name][column], medians.get(way.against, {}).get(column)
                ratio = f"{median / peer:.2f}" if peer and way.against != way.name else ""
                cells += [_figure(min(way.rounds[column])), _figure(median), ratio]
            lines.append(f"| {' | '.join(cells)} |")
        return "\n".join(lines)


async def _collect(measuring: Awaitable[Sequence[Way]]) -> Sequence[Way]:
    return await measuring


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough
