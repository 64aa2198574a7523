"""The requirements of a real node; `python -m sandbox.node.packages` lists Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

CNI_FOLDER: Final = Path("/usr/lib/cni")

CGROUPS: Final = Path("/sys/fs/cgroup")
NAMESPACES: Final = ("--mount", "--net", "--pid", "--uts", "--ipc")
"""The Linux namespaces of a node, as `unshare` and `nsenter` name them."""

_PROGRAMS: Final = {
    "containerd": "containerd",
    "runc": "runc",
    "buildah": "buildah",
    "mmdebstrap": "mmdebstrap",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""The programs, with the packages that contain them."""

_FILES: Final = {
    CNI_FOLDER / "bridge": "containernetworking-plugins",
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"): "debian-archive-keyring",
}


class NodeUnavailableError(Exception):
    """This machine cannot run a node; the message says what is missing."""


def packages() -> list[str]:
    """Return the names of Debian's packages."""
    return sorted({*_PROGRAMS.values(), *_FILES.values()})


def check() -> None:
    """Check that a node can be started here.

    Raises:
        NodeUnavailableError: it cannot; the message says what to do.
    """
    if sys.platform != "linux":
        raise NodeUnavailableError("a real node needs Linux; use `make cluster-test` against a cluster instead")
    if os.geteuid() != 0:
        raise NodeUnavailableError("a real node needs root: sudo make node-test")
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program) is None}
    missing |= {package for path, package in _FILES.items() if not path.exists()}
    if missing:
        raise NodeUnavailableError(f"Debian's packages are missing: {', '.join(sorted(missing))}; make node-packages")
    if not _may_isolate():
        raise NodeUnavailableError(
            "root may not create namespaces or control groups here, as in most containers; run it on a "
            "dedicated machine, or use `make cluster-test` against a cluster"
        )


def _may_isolate() -> bool:
    """Try to create namespaces and a control group."""
    unshare = ["unshare", *NAMESPACES, "--fork", "--mount-proc", "true"]
    group = (CGROUPS if (CGROUPS / "cgroup.controllers").exists() else CGROUPS / "memory") / f"probe-{os.getpid()}"
    try:
        group.mkdir()
        group.rmdir()
    except OSError:
        return False
    return subprocess.run(unshare, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def main() -> None:
    """Print the packages, or with `--check` what is missing."""
    if sys.argv[1:] != ["--check"]:
        print(*packages())
        return
    try:
        check()
    except NodeUnavailableError as error:
        sys.exit(f"sandbox: {error}")


if __name__ == "__main__":
    main()
