"""End everything that a scope started, once the scope is closed or its owner has died.

Run as `python -m sandbox.janitor FOLDER MARK` with a pipe as standard input. End of file there means that the owner has
closed the scope or has died, so no cooperation is needed: the janitor kills every process with the scope's mark, in any
process group, and removes the folder.

A process has the mark in its environment, which it inherits from the first process of the scope, or in the path of its
output, a file in the folder. Either may be missing: Redis overwrites its environment to show a title, and a program may
redirect its children's output.

Control groups with the mark as their name are removed too. If the janitor itself was killed, the next scope that is
opened does this work: `clear_abandoned`.
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
"""How long the kernel may take to remove a killed process from its control group."""


def marked_processes(folder: str, mark: str) -> list[int]:
    """Return the ids of this user's live processes with the mark."""
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
    except OSError:  # it has ended, or belongs to another user
        return False


def clear(folder: str, mark: str) -> None:
    """Kill every process with the mark, including those started meanwhile, and remove the folder."""
    while processes := marked_processes(folder, mark):
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
    _remove_cgroups(mark)
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def hold(folder: Path) -> Iterator[int]:
    """Mark a folder as in use while any process has the yielded file open; closes the caller's."""
    unfinished = folder / f"{_LOCK}.unfinished"
    with unfinished.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        # Renamed once it is locked, so any lock with this name is held or abandoned.
        unfinished.rename(folder / _LOCK)
        yield file.fileno()


def clear_abandoned(parent: Path) -> None:
    """Clean up after scopes whose owner and janitor have both died."""
    for lock in parent.glob(f"{FOLDER_PREFIX}*/{_LOCK}"):
        with suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            clear(str(lock.parent), lock.parent.name)


def _remove_cgroups(mark: str) -> None:
    """Remove the control groups of that name and their children, in every hierarchy."""
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
