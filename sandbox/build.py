"""Find or build the control plane's programs; `python -m sandbox.build` does only this.

The programs come from the folder in KUBEBUILDER_ASSETS, then from the user's cache. Those that are in neither are
built from the Go module in `control_plane_binary/` into the cache.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from sandbox.go_build import KUBERNETES_VERSION, GoProgram, built
from sandbox.toolchain import GoError

MODULE: Final = Path(__file__).resolve().parent / "control_plane_binary"


@dataclass(frozen=True)
class Programs:
    """The paths of the control plane's programs."""

    etcd: Path
    kube_apiserver: Path
    kube_controller_manager: Path
    kubectl: Path


def find_programs() -> Programs:
    """Return the programs, and build them first if necessary, which takes minutes.

    Raises:
        GoError: the build failed; Go's output is on the terminal.
    """
    names = tuple(field.name.replace("_", "-") for field in fields(Programs))
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    given = {} if assets is None else {name: Path(assets) / name for name in names}
    found = {name: path for name, path in given.items() if path.exists()}
    if len(found) < len(names):
        folder = built(
            GoProgram(
                slug="control-plane",
                title=f"the control plane (Kubernetes {KUBERNETES_VERSION})",
                minutes="six minutes",
                module=MODULE,
                names=names,
            )
        )
        found = {name: folder / name for name in names} | found
    return Programs(**{name.replace("-", "_"): path for name, path in found.items()})


def main() -> None:
    """Build what is missing, and print the paths of the programs."""
    try:
        programs = find_programs()
    except GoError as error:
        sys.exit(f"sandbox: {error}")
    except KeyboardInterrupt:
        sys.exit("sandbox: the build was stopped; only Go's own caches remain")
    for field in fields(programs):
        print(getattr(programs, field.name))


if __name__ == "__main__":
    main()
