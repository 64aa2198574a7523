"""Generated files: write them, or check that they are current."""

import argparse
from collections.abc import Mapping
from pathlib import Path


def write_or_check(command: str, description: str, contents: Mapping[str, str]) -> int:
    """Run a generator's command line; return its exit code.

    `contents` maps the names of the files to their expected text. They are written into the folder in the command
    line. With `--check` nothing is written, and the exit code is 1 if a file differs or is missing.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {command}", description=description)
    parser.add_argument("folder", type=Path, help="where the files are")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    options = parser.parse_args()
    folder: Path = options.folder
    if options.check:
        return _check(command, folder, contents)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")
        print(f"wrote {folder / name}")  # noqa: T201 -- this is a command
    return 0


def _check(command: str, folder: Path, contents: Mapping[str, str]) -> int:
    stale = [folder / name for name, text in contents.items() if _read(folder / name) != text]
    for path in stale:
        state = "is out of date" if path.exists() else "is missing"
        print(f"{path} {state}: run `python -m {command} {folder}`")  # noqa: T201 -- this is a command
    return 1 if stale else 0


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None
