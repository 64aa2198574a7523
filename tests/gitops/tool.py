"""A GitOps tool that syncs a repository into a namespace every two seconds, and says what each round has done."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sandbox.processes import DeadlineError, Process, until
from tests.gitops.repository import Repository


class Round(BaseModel):
    """What one round has found and done; resources are named by kind and name."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: str
    """Of what is in the repository."""
    changed: Mapping[str, str]
    """What was done to each resource that this round has created, changed or deleted."""
    healthy: bool
    """Whether the application is Healthy, or the Kustomization Ready."""
    message: str
    """Why not, or why nothing was synced."""
    status: Literal["", "Synced", "OutOfSync"] = ""
    """Argo CD: before this round's sync."""
    health: Mapping[str, str] = {}
    """Argo CD: each resource's health, with its message."""


@dataclass(frozen=True)
class Tool:
    """A tool that runs."""

    process: Process
    repository: Repository

    def rounds(self) -> list[Round]:
        """Return the rounds so far, the first one first."""
        lines = self.process.log.read_text().splitlines(keepends=True)
        return [Round.model_validate_json(line) for line in lines if line.startswith("{") and line.endswith("\n")]

    async def until(self, condition: Callable[[Round], bool], what: str) -> Round:
        """Wait for a round with the repository's last commit that fulfils a condition; return it."""

        async def found() -> Round | None:
            rounds = [each for each in self.rounds() if each.revision == self.repository.revision]
            return next(filter(condition, rounds), None)

        try:
            return await until(found, what, of=self.process)
        except DeadlineError as error:
            raise AssertionError(f"{error}\nlast: {self.rounds()[-1:]}") from None
