"""Ends everything that a scope started, once the scope is closed or its owner is dead.

Run as `python -m sandbox.janitor FOLDER MARK` with a pipe as standard input. Its end says that the owner has
closed the scope or is gone, however it went, so clearing up needs nobody's cooperation: every process that carries
the scope's mark is killed, in any process group, and the folder is removed.

A process carries the mark in its environment, which it inherits from the first process of the scope, or in its output,
which goes to a file in the folder. Either may be missing: Redis overwrites its environment to show a title, and a
program may send its children's output elsewhere.

What a scope may leave besides is control groups with the mark as their name: they are removed. Where the janitor was
killed too, the next scope that is opened does its work: `clear_abandoned`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK_VARIABLE: Final = "SANDBOX_SCOPE"
FOLDER_PREFIX: Final = "queue-recovery-sandbox-"

_LOCK: Final = "lock"
_CGROUPS: Final = Path("/sys/fs/cgroup")
_CGROUP_SECONDS: Final = 10.0
"""How long the kernel may take to let a killed process out of its control group."""


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
    _remove_cgroups(mark)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def hold(folder: Path) -> Iterator[int]:
    """Mark a folder as in use by every process that has the yielded file open; the caller's is closed at the end."""
    unfinished = folder / f"{_LOCK}.unfinished"
    with unfinished.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Renamed when it is locked: a lock that can be found is held, or abandoned.
        unfinished.rename(folder / _LOCK)
        yield file.fileno()


def clear_abandoned(parent: Path) -> None:
    """Clear up after scopes of which neither the owner nor the janitor lives."""
    for lock in parent.glob(f"{FOLDER_PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clear(str(lock.parent), lock.parent.name)


def _remove_cgroups(mark: str) -> None:
    """Remove the control groups of that name, in every hierarchy, with those below them."""
    deadline = time.monotonic() + _CGROUP_SECONDS
    for group in [_CGROUPS / mark, *_CGROUPS.glob(f"*/{mark}")]:
        while group.exists() and time.monotonic() < deadline:
            for path, _, _ in os.walk(group, topdown=False):
                with suppress(OSError):
                    Path(path).rmdir()


def main() -> None:
    folder, mark = sys.argv[1:]
    sys.stdin.buffer.read()
    clear(folder, mark)


if __name__ == "__main__":
    main()
