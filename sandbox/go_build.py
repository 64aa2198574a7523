"""Builds this repository's Go programs into the user's cache, once for each version of them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.toolchain import GoError, find_go

if TYPE_CHECKING:
    from collections.abc import Iterator

KUBERNETES_VERSION: Final = "1.35.4"

_PROGRESS_STEP: Final = 100


@dataclass(frozen=True)
class GoProgram:
    """A main package, and the names under which its binary is called."""

    slug: str
    """The name of its binary, and the beginning of its folder's."""
    title: str
    """What messages call it."""
    minutes: str
    """How long it takes to build on two cores, as messages say it."""
    module: Path
    """The folder with its go.mod."""
    names: tuple[str, ...]
    package: str = "."
    """The folder of its main.go, from the module on; or the import path of a command that the go.mod requires."""
    tags: str = ""
    """Build tags, separated by commas."""

    @property
    def argument(self) -> str:
        """Return how Go is told what to build."""
        return f"./{self.package}" if self._main.exists() else self.package

    @property
    def fingerprint(self) -> str:
        """Return what changes with its source, its dependencies and the machine's architecture."""
        digest = hashlib.sha256(platform.machine().encode())
        for source in (self.module / "go.mod", self.module / "go.sum", self._main):
            digest.update(source.read_bytes() if source.exists() else b"")
        digest.update(self.tags.encode())
        return digest.hexdigest()[:12]

    @property
    def _main(self) -> Path:
        return self.module / self.package / "main.go"


def cache_folder() -> Path:
    """Return the user's cache folder for this project, which need not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "queue-recovery"


def built(program: GoProgram) -> Path:
    """Return the folder in which each name of a program is a link to its binary, which is built first if need be.

    Raises:
        GoError: it had to be built and could not be; what Go said is on the terminal.
    """
    cache = cache_folder()
    folder = cache / f"{program.slug}-{KUBERNETES_VERSION}-{program.fingerprint}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "build.lock"):
        if not folder.exists():
            _build(program, cache, folder)
    return folder


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that dies with the process, so that two builds at once do the work once."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another process is building; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(program: GoProgram, cache: Path, folder: Path) -> None:
    _say(f"{program.title} is not built yet: this takes about {program.minutes} on two cores, once")
    go = find_go(cache)
    for leftover in cache.glob("unfinished-*"):
        # Only the holder of the lock makes these, so its maker was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache))
    try:
        _compile(program, go, unfinished / program.slug)
        for name in program.names:
            (unfinished / name).symlink_to(program.slug)
        unfinished.chmod(0o755)
        # Renamed when complete: a folder that is found is complete.
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _say(f"built into {folder}")


def _compile(program: GoProgram, go: Path, output: Path) -> None:
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    tags = ["-tags", program.tags]
    _say("downloading its source")
    listed = subprocess.run(
        [go, "list", *tags, "-deps", program.argument],
        cwd=program.module,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise GoError(f"the source of {program.title} could not be downloaded; see above")
    packages = listed.stdout.splitlines()
    major, minor, _ = KUBERNETES_VERSION.split(".")
    # Without a version of its own the server calls itself v0.0.0, and kubectl refuses to compare that.
    stamps = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    flags = "-s -w " + " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items())
    with subprocess.Popen(
        [go, "build", *tags, "-v", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", output, program.argument],
        cwd=program.module,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as build:
        assert build.stderr is not None
        said = _show_progress(build.stderr, packages)
    if build.returncode:
        raise GoError(f"{program.title} could not be built:\n" + "\n".join(said[-20:]))


def _show_progress(lines: Iterator[str], packages: list[str]) -> list[str]:
    """Say now and then how many packages are compiled; `go build -v` writes a line for each, the program's own last."""
    _say(f"compiling {len(packages)} packages, without those that Go has in its cache")
    said: list[str] = []
    for line in lines:
        said.append(line.rstrip())
        if said[-1] == packages[-1]:
            _say("linking the program")
        elif len(said) % _PROGRESS_STEP == 0:
            _say(f"compiled {len(said)} of at most {len(packages)} packages")
    return said


def _say(message: str) -> None:
    print(f"sandbox: {message}", file=sys.stderr, flush=True)
