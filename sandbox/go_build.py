"""Build this repository's Go programs into the user's cache, once for each version."""

from __future__ import annotations

import fcntl
import hashlib
import json
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
    """A main package, and the names of its binary."""

    slug: str
    """The name of the binary, and the prefix of its folder's name."""
    title: str
    """The program's name in messages."""
    minutes: str
    """How long the build takes on two cores, for messages."""
    module: Path
    """The folder of go.mod."""
    names: tuple[str, ...]
    package: str = "."
    """The folder of main.go, relative to the module, or the import path of a command that go.mod requires."""
    tags: str = ""
    """Build tags, separated by commas."""

    @property
    def argument(self) -> str:
        """The package as an argument of `go build`."""
        return f"./{self.package}" if self._main.exists() else self.package

    @property
    def fingerprint(self) -> str:
        """Return a digest of the source, the dependencies and the machine's architecture."""
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
    """Return the folder with links to a program's binary; build the binary first if necessary.

    Raises:
        GoError: the build failed; Go's output is on the terminal.
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


def module_source(program: GoProgram, module: str) -> Path:
    """Return the folder with the source of a module that a program requires; download it first if necessary.

    Raises:
        GoError: it could not be downloaded; Go's output is on the terminal.
    """
    done = subprocess.run(
        [find_go(cache_folder()), "mod", "download", "-json", module],
        cwd=program.module,
        env=_environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise GoError(f"the source of {module} could not be downloaded: {done.stdout}")
    return Path(json.loads(done.stdout)["Dir"])


def print_built(program: GoProgram) -> None:
    """Build a program if it is missing and print where it is; exits with a message if that fails."""
    try:
        print(built(program) / program.slug)
    except GoError as error:
        sys.exit(f"sandbox: {error}")
    except KeyboardInterrupt:
        sys.exit("sandbox: the build was stopped; only Go's own caches remain")


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process, so that two concurrent builds do the work once."""
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
        # Only the holder of the lock creates these, so this one's creator was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache))
    try:
        _compile(program, go, unfinished / program.slug)
        for name in program.names:
            (unfinished / name).symlink_to(program.slug)
        unfinished.chmod(0o755)
        # Renamed only when complete, so a folder of this name is complete.
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _say(f"built into {folder}")


def _compile(program: GoProgram, go: Path, output: Path) -> None:
    environment = _environment()
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
    # Without a version the server reports v0.0.0, which kubectl refuses to compare.
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


def _environment() -> dict[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}


def _show_progress(lines: Iterator[str], packages: list[str]) -> list[str]:
    """Report progress; `go build -v` writes a line for each package, the program's own last."""
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
