"""What GitOps tools make of an object: kstatus, as Flux and Helm ask it, and Lua as Argo CD runs it.

`python -m sandbox.gitops_health` builds the program that answers, if it is not built yet.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from sandbox.go_build import GoProgram, built, print_built

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from sandbox.api import Json

_PROGRAM: Final = GoProgram(
    slug="gitops-health",
    title="gitops-health",
    minutes="a minute",
    module=Path(__file__).resolve().parent / "gitops_health_binary",
    names=(),
)


class GitOpsHealthError(Exception):
    """The program could not answer; the text is what it said."""


class GitOpsHealth:
    """The program, which answers until it is closed."""

    def __init__(self) -> None:
        """Start it, and build it first if necessary; raises GoError."""
        self._process = subprocess.Popen(
            [built(_PROGRAM) / _PROGRAM.slug], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.communicate()

    def kstatus(self, thing: Mapping[str, object]) -> Json:
        """Return `status` and `message` of an object, as kstatus computes them."""
        return self._asked({"object": thing})

    def lua(self, script: str, thing: Mapping[str, object]) -> Json:
        """Return what a script returns that finds an object in `obj`; raises GitOpsHealthError."""
        return self._asked({"object": thing, "script": script})

    def _asked(self, question: Json) -> Json:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise GitOpsHealthError(answer["error"])
        return dict(answer["value"])


if __name__ == "__main__":
    print_built(_PROGRAM)
