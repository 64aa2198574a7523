"""A folder that stands for a Git repository: each commit replaces all of it at once."""

import hashlib
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import yaml

from sandbox.api import Json


class Repository:
    """Commits are folders beside each other; `current` is a link to the last one, as git-sync makes it."""

    def __init__(self, folder: Path) -> None:
        """Begin with nothing in it."""
        self._folder = folder
        self._numbers: Iterator[int] = count()
        self.revision = ""
        """Of the last commit, as the tools name it."""
        self.commit()

    @property
    def current(self) -> Path:
        """The link that tools follow."""
        return self._folder / "current"

    def commit(self, *objects: Json) -> None:
        """Replace everything by these objects; the same ones again are another revision."""
        number = next(self._numbers)
        commit = self._folder / f"commit-{number}"
        commit.mkdir()
        content = f"# commit {number}\n{yaml.safe_dump_all(objects)}"
        (commit / "objects.yaml").write_text(content)
        self.revision = hashlib.sha256(content.encode()).hexdigest()[:12]
        unfinished = self._folder / "next"
        unfinished.symlink_to(commit)
        unfinished.replace(self.current)
