"""The real GitOps tools, KEDA and Argo Rollouts for `make gitops-test`; `python -m sandbox.gitops_tools` builds all."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sandbox.go_build import GoProgram, built, print_built

_HERE: Final = Path(__file__).resolve().parent

ARGOCD: Final = GoProgram(
    slug="argocd",
    title="Argo CD's engine",
    minutes="six minutes",
    module=_HERE / "argocd_binary",
    names=(),
)
FLUX: Final = GoProgram(
    slug="flux",
    title="Flux's server-side apply",
    minutes="two minutes",
    module=_HERE / "flux_binary",
    names=(),
)
KEDA: Final = GoProgram(
    slug="keda",
    title="KEDA's operator",
    minutes="half an hour",
    module=_HERE / "keda_binary",
    package="github.com/kedacore/keda/v2/cmd/operator",
    names=(),
)
ROLLOUTS: Final = GoProgram(
    slug="rollouts",
    title="Argo Rollouts' controller",
    minutes="ten minutes",
    module=_HERE / "rollouts_binary",
    package="github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
    names=(),
)
TOOLS: Final = (ARGOCD, FLUX, KEDA, ROLLOUTS)


def find_tool(program: GoProgram) -> Path:
    """Return a tool's program, building it first if it is not built yet; raises GoError."""
    return built(program) / program.slug


if __name__ == "__main__":
    for tool in TOOLS:
        print_built(tool)
