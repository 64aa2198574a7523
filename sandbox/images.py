"""Container images of the sandbox: names for code on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Image:
    """One image.

    `entrypoint` and `arguments` are ENTRYPOINT and CMD of a Dockerfile: a container's `command` replaces both, its
    `args` only the second.
    """

    folder: Path
    """The working directory of the processes."""
    entrypoint: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, container: Mapping[str, list[str]]) -> list[str]:
        """Return the command line of a container; empty if neither names a program."""
        command, arguments = container.get("command"), container.get("args")
        if command:
            return [*command, *(arguments or ())]
        return [*self.entrypoint, *(arguments or self.arguments)]


Images = dict[str, Image]
"""Images by repository name: in full (`registry.example/team/app`) or its last part (`app`)."""


def repository(reference: str) -> str:
    """Return an image reference without its tag and digest."""
    name = reference.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def find(images: Images, reference: str) -> Image | None:
    """Return the image of a reference with any tag, or None if the table has none."""
    name = repository(reference)
    return images.get(name) or images.get(name.rpartition("/")[2])


def image_id(reference: str) -> str:
    """Return the image id for a container's status; it depends on the reference with its tag."""
    return f"{repository(reference)}@sha256:{hashlib.sha256(reference.encode()).hexdigest()}"


def write(path: Path, images: Images) -> None:
    """Replace the table in a file atomically."""
    content = {name: asdict(image) | {"folder": str(image.folder)} for name, image in images.items()}
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=1))
    unfinished.replace(path)


def read(path: Path) -> Images:
    """Read a file that `write` wrote."""
    content = json.loads(path.read_text())
    return {
        name: Image(
            folder=Path(image["folder"]),
            entrypoint=tuple(image["entrypoint"]),
            arguments=tuple(image["arguments"]),
            environment=image["environment"],
        )
        for name, image in content.items()
    }


def python_environment(programs: Path) -> dict[str, str]:
    """Return the environment of an image whose programs are those of a Python installation.

    Args:
        programs: the folder with `python` and the other programs in it.
    """
    return {"PATH": f"{programs}{os.pathsep}{os.defpath}", "PYTHONUNBUFFERED": "1"}
