"""Build the images of a node's pods with buildah, from unchanged Dockerfiles; `python -m` builds all of them.

The images and their layers are cached in the user's cache. No registry is needed: the base image of the Dockerfiles is
made of Debian's packages. This machine's settings for package indexes (pip's configuration, certificate authorities)
are mounted into the build, so that they do not get into an image.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.go_build import built, cache_folder
from sandbox.node.programs import PAUSE, find_node_programs
from sandbox.processes import ROOT
from sandbox.toolchain import GoError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OPERATOR: Final = "ghcr.io/queue-recovery/queue-recovery"
"""The operator's image as the manifests name it, without its tag."""
APPLICATION: Final = "docker.io/library/stuck-queue-app"
SERVERS: Final = "localhost/queue-recovery-servers:1"
PAUSE_IMAGE: Final = "localhost/queue-recovery-pause:1"

VERSION: Final[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
"""The version that the manifests install."""

_BASE: Final = "docker.io/library/python:3.11-slim-bookworm"
_BASE_PACKAGES: Final = ("ca-certificates", "python3.11-venv", "python3-pip")
_KEPT_SECONDS: Final = 3600
"""How long an image's file is cached after its last use: another checkout's run may be about to import it."""
_HERE: Final = Path(__file__).resolve().parent


class ImageError(Exception):
    """The build of an image failed; the message is the end of the builder's output."""


@dataclass(frozen=True)
class BuiltImage:
    """An image as a file that containerd can import."""

    name: str
    archive: Path
    tags: tuple[str, ...] = ()
    """More references of the same image."""


class ImageStore:
    """buildah's storage in the user's cache; one process uses it at a time."""

    def __init__(self, folder: Path) -> None:
        """Store the folder of the storage."""
        self._folder = folder

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[ImageStore]:
        """Open the store for this process alone; wait for another one that builds."""
        folder = cache_folder() / "images"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield cls(folder)

    def build(self, name: str, context: Path, *tags: str) -> BuiltImage:
        """Build the Dockerfile of a folder.

        Args:
            name: the full reference.
            context: the folder of the Dockerfile and its .dockerignore.
            tags: more references of the same image.

        Raises:
            ImageError: the build failed.
        """
        self._base()
        self._build(name, context)
        return self._exported(name, tags)

    def pause(self) -> BuiltImage:
        """Build the pause image, whose process holds a pod's namespaces; raises ImageError, GoError."""
        program = built(PAUSE) / PAUSE.slug
        with self._context() as context:
            shutil.copy(program, context / "pause")
            (context / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
            self._build(PAUSE_IMAGE, context)
        return self._exported(PAUSE_IMAGE)

    def _base(self) -> None:
        if self._id(_BASE):
            return
        _say("building the base image from Debian's packages: this takes about two minutes, once")
        with self._context() as context:
            shutil.copy(_HERE / "base_image" / "Dockerfile", context)
            _run(
                [
                    "mmdebstrap",
                    "--variant=minbase",
                    f"--include={','.join(_BASE_PACKAGES)}",
                    "bookworm",
                    f"{context}/root.tar",
                ],
                "the base image",
            )
            self._build(_BASE, context)

    @contextmanager
    def _context(self) -> Iterator[Path]:
        """Create an empty folder to build from.

        Its name is fixed, so that the next build removes what a killed one has left.
        """
        context = self._folder / "context"
        shutil.rmtree(context, ignore_errors=True)
        context.mkdir()
        yield context
        shutil.rmtree(context)

    def _build(self, name: str, context: Path) -> None:
        _say(f"building {name}")
        _run(
            [
                *self._buildah(),
                "bud",
                "--layers",
                "--pull-never",
                "--network=host",
                "--isolation=oci",
                "--runtime=runc",
                # Lower than buildah's default, which needs a capability that root may lack.
                "--ulimit=nofile=20000:20000",
                "--ulimit=nproc=4096:4096",
                # Makes the build reproducible: the same content gives the same image.
                "--timestamp=0",
                *_ways_to_indexes(),
                f"--tag={name}",
                f"--file={context / 'Dockerfile'}",
                str(context),
            ],
            name,
        )

    def _exported(self, name: str, tags: tuple[str, ...] = ()) -> BuiltImage:
        """Write the image to a file, unless the file has the same image already."""
        archives = self._folder / "archives"
        archives.mkdir(exist_ok=True)
        slug = name.replace("/", "-").replace(":", "-")
        archive = archives / f"{slug}-{self._id(name)}.tar"
        if not archive.exists():
            for older in archives.glob(f"{slug}-*"):
                if time.time() - older.stat().st_mtime > _KEPT_SECONDS:
                    older.unlink()
            unfinished = archives / f"unfinished-{slug}"
            unfinished.unlink(missing_ok=True)
            _run([*self._buildah(), "push", "--quiet", name, f"docker-archive:{unfinished}:{name}"], name)
            unfinished.rename(archive)
        archive.touch()
        return BuiltImage(name, archive, tags)

    def _id(self, name: str) -> str:
        found = subprocess.run(
            [*self._buildah(), "images", "--quiet", "--no-trunc", "--filter", f"reference={name}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        return found.stdout.strip().removeprefix("sha256:")[:12]

    def _buildah(self) -> list[str]:
        storage = [
            "--storage-driver=overlay",
            f"--root={self._folder / 'storage'}",
            f"--runroot={self._folder / 'run'}",
        ]
        return ["buildah", *storage]


def build_all() -> list[BuiltImage]:
    """Build all images of the tests on a node; raises ImageError and GoError."""
    with ImageStore.open() as store:
        return [
            store.pause(),
            store.build(SERVERS, _HERE / "servers_image"),
            store.build(f"{APPLICATION}:1", ROOT / "examples" / "stuck-queue", f"{APPLICATION}:2"),
            operator_image(store, tag=VERSION),
        ]


def operator_image(store: ImageStore, *, tag: str, source: Path = ROOT) -> BuiltImage:
    """Build the operator of a checkout; raises ImageError."""
    return store.build(f"{OPERATOR}:{tag}", source)


def _ways_to_indexes() -> list[str]:
    """Return mounts with this machine's settings for package indexes."""
    mounts = {Path("/etc/ssl/certs/ca-certificates.crt"), Path("/etc/pip.conf")}
    if bundle := os.environ.get("SSL_CERT_FILE"):
        mounts.add(Path(bundle))
    given = [f"--volume={path}:{path}:ro" for path in sorted(mounts) if path.exists()]
    personal = Path.home() / ".config" / "pip" / "pip.conf"
    if not Path("/etc/pip.conf").exists() and personal.exists():
        given.append(f"--volume={personal}:/etc/pip.conf:ro")
    return given


def _run(command: Sequence[str], what: str) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise ImageError(f"{what} could not be built:\n{done.stdout[-4000:]}")


def _say(message: str) -> None:
    print(f"sandbox: {message}", file=sys.stderr, flush=True)


def main() -> None:
    """Build the node's programs and images, which are cached."""
    try:
        find_node_programs()
        for image in build_all():
            print(image.name)
    except (GoError, ImageError) as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
