"""Ends everything that a scope started, once the scope is closed or its owner is dead.

Run as `python -m sandbox.janitor FOLDER MARK` with a pipe as standard input. Its end says that the owner has
closed the scope or is gone, however it went, so clearing up needs nobody's cooperation: every process that carries
the scope's mark is killed, in whatever process group it hides, and the folder is removed.

A process carries the mark in its environment, which it inherits from the first process of the scope, or in its output,
which goes to a file in the folder. Either may be missing: Redis overwrites its environment to show a title, and a
program may send its children's output elsewhere.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

MARK_VARIABLE: Final = "SANDBOX_SCOPE"


def marked_processes(folder: str, mark: str) -> list[int]:
    """Return the ids of this user's live processes that carry the mark."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _is_marked(entry, folder, mark)
    ]


def _is_marked(process: Path, folder: str, mark: str) -> bool:
    try:
        if f"{MARK_VARIABLE}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
            return True
        return any(str((process / "fd" / output).readlink()).startswith(f"{folder}/") for output in "12")
    except OSError:  # it ended meanwhile, or belongs to somebody else
        return False


def clear(folder: str, mark: str) -> None:
    """Kill every process that carries the mark, those included that they start meanwhile, and remove the folder."""
    while processes := marked_processes(folder, mark):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    folder, mark = sys.argv[1:]
    sys.stdin.buffer.read()
    clear(folder, mark)


if __name__ == "__main__":
    main()
