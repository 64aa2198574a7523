"""Find or build Helm, which renders, checks and installs the chart; `python -m sandbox.helm` does only this."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sandbox.go_build import GoProgram, built, print_built

HELM: Final = GoProgram(
    slug="helm",
    title="Helm",
    minutes="a minute",
    module=Path(__file__).resolve().parent / "helm_binary",
    package="helm.sh/helm/v4/cmd/helm",
    names=(),
)


def find_helm() -> Path:
    """Return the program, building it first if it is not built yet; raises GoError."""
    return built(HELM) / HELM.slug


if __name__ == "__main__":
    print_built(HELM)
