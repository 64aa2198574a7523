"""Finds or builds the control plane's programs; `python -m sandbox.build` does just this.

They are taken from the folder that KUBEBUILDER_ASSETS names, then from the user's cache; what is in neither is
built from the Go module in `control_plane_binary/`, once for each version of it, into the cache.
"""

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
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sandbox.toolchain import GoError, find_go

if TYPE_CHECKING:
    from collections.abc import Iterator

KUBERNETES_VERSION: Final = "1.35.4"

_MODULE: Final = Path(__file__).resolve().parent / "control_plane_binary"
_SOURCES: Final = ("go.mod", "go.sum", "main.go")
_BINARY: Final = "control-plane"
_PROGRESS_STEP: Final = 100


@dataclass(frozen=True)
class Programs:
    """Where the control plane's programs are."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path


def cache_folder() -> Path:
    """Return the user's cache folder for this project, which need not exist yet."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "queue-recovery"


def find_programs() -> Programs:
    """Return the programs, building them first if they are nowhere yet; that takes minutes and says so.

    Raises:
        GoError: they had to be built and could not be; what Go said is on the terminal.
    """
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    given = {} if assets is None else {name: Path(assets) / name for name in _program_names()}
    found = {name: path for name, path in given.items() if path.exists()}
    if len(found) < len(_program_names()):
        built = _cached_or_built()
        found = {name: built / name for name in _program_names()} | found
    return Programs(**{name.replace("-", "_"): path for name, path in found.items()})


def _program_names() -> list[str]:
    return [field.name.replace("_", "-") for field in fields(Programs)]


def _cached_or_built() -> Path:
    cache = cache_folder()
    programs = cache / f"control-plane-{KUBERNETES_VERSION}-{_fingerprint()}"
    if programs.exists():
        return programs
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "build.lock"):
        if not programs.exists():
            _build(cache, programs)
    return programs


def _fingerprint() -> str:
    digest = hashlib.sha256(platform.machine().encode())
    for source in _SOURCES:
        digest.update((_MODULE / source).read_bytes())
    return digest.hexdigest()[:12]


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold a lock that dies with the process, so that two builds at once do the work once."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("somebody else is building the control plane; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(cache: Path, programs: Path) -> None:
    _say(f"Kubernetes {KUBERNETES_VERSION} is not built yet: this takes about six minutes on two cores, once")
    go = find_go(cache)
    for leftover in cache.glob("unfinished-*"):
        # Only the holder of the lock makes these, so its maker was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(prefix="unfinished-", dir=cache))
    try:
        _compile(go, unfinished / _BINARY)
        for name in _program_names():
            (unfinished / name).symlink_to(_BINARY)
        unfinished.chmod(0o755)
        # Renamed when complete: whoever finds the folder finds all of it.
        unfinished.rename(programs)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    _say(f"built into {programs}")


def _compile(go: Path, output: Path) -> None:
    environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    _say("downloading its source")
    listed = subprocess.run(
        [go, "list", "-deps", "."],
        cwd=_MODULE,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if listed.returncode:
        raise GoError("the control plane's source could not be downloaded; see above")
    total = len(listed.stdout.splitlines())
    major, minor, _ = KUBERNETES_VERSION.split(".")
    # Without a version of its own the server calls itself v0.0.0, and kubectl refuses to compare that.
    stamps = {"gitVersion": f"v{KUBERNETES_VERSION}", "gitMajor": major, "gitMinor": minor}
    flags = "-s -w " + " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items())
    with subprocess.Popen(
        [go, "build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", output, "."],
        cwd=_MODULE,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as build:
        assert build.stderr is not None
        said = _show_progress(build.stderr, total)
    if build.returncode:
        raise GoError("the control plane could not be built:\n" + "\n".join(said[-20:]))


def _show_progress(lines: Iterator[str], total: int) -> list[str]:
    """Say now and then how many packages are compiled; `go build -v` writes a line for each."""
    said: list[str] = []
    for line in lines:
        said.append(line.rstrip())
        if len(said) % _PROGRESS_STEP == 0:
            _say(f"compiled {len(said)} of at most {total} packages")
    return said


def _say(message: str) -> None:
    print(f"sandbox: {message}", file=sys.stderr, flush=True)


def main() -> None:
    """Build what is missing and print where the programs are."""
    try:
        programs = find_programs()
    except GoError as error:
        sys.exit(f"sandbox: {error}")
    except KeyboardInterrupt:
        sys.exit("sandbox: the build was stopped; nothing of it is kept but Go's own caches")
    for field in fields(programs):
        print(getattr(programs, field.name))


if __name__ == "__main__":
    main()
