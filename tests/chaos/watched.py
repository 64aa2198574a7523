"""A recovery as it changes."""

from collections.abc import Callable

from queue_recovery.api.reasons import Reason
from sandbox.api import Json
from sandbox.processes import DeadlineError, until
from tests.e2e.team import Team, condition


class Watched:
    """The recovery as the API server shows it."""

    def __init__(self) -> None:
        """Nothing seen yet."""
        self.body: Json = {}
        self.gone = False

    @property
    def status(self) -> Json:
        """The last status seen."""
        status: Json = self.body.get("status", {})
        return status

    @property
    def ended(self) -> bool:
        """Whether its terminal status has been seen, or it is gone."""
        return self.gone or "completionTime" in self.status

    @property
    def suspended(self) -> bool:
        """Whether it holds, as `spec.suspend` asks."""
        return condition(self.status, "Ready").get("reason") == "Suspended"

    def waits_for(self, reason: Reason) -> bool:
        """Tell whether it says that it waits for this reason."""
        return condition(self.status, "Reconciling").get("reason") == reason

    @property
    def awaits_approval(self) -> str | None:
        """The digest that it asks an approval for; None: it asks for none."""
        asks = condition(self.status, "Reconciling").get("reason") == "AwaitingApproval"
        return str(self.status["approval"]["digest"]) if asks else None

    @property
    def is_approval_outdated(self) -> bool:
        """Whether it says that its jobs would be enqueued in another way than was approved."""
        return condition(self.status, "Reconciling").get("reason") == "ApprovalOutdated"

    @property
    def released(self) -> bool:
        """Whether it has ended and has no finalizer of the operator."""
        return self.gone or (self.ended and not self.body["metadata"].get("finalizers"))

    def as_it_is(self) -> "Watched":
        """Return the recovery as it is now, which no later change of one of its name reaches."""
        copy = Watched()
        copy.body, copy.gone = self.body, self.gone
        return copy

    async def follow(self, team: Team, name: str) -> None:
        """Watch it until cancelled."""
        async for kind, body in team.api.follow(team.path("QueueRecovery")):
            if body["metadata"]["name"] == name:
                self.body, self.gone = body, kind == "DELETED"

    async def becomes(self, condition: Callable[["Watched"], bool], what: str, *, seconds: float = 120) -> None:
        """Wait until the recovery is so.

        Raises:
            DeadlineError: it is not in time.
        """

        async def is_so() -> bool:
            return condition(self)

        try:
            await until(is_so, what, seconds=seconds)
        except DeadlineError as error:
            raise DeadlineError(f"{error}; last: {self.status}") from None
