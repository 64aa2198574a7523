"""The cause for which the recovery was proposed is over: it is held, and touches nothing until its label is removed."""

from queue_recovery.api.reasons import Reason
from queue_recovery.api.stuck import PROPOSED_FOR
from tests.chaos.cases import CaseRun
from tests.chaos.scenario import NAME, Scenario
from tests.chaos.transient import goes_on


async def is_dismissed(case_run: CaseRun) -> bool:
    """Remove the label once the recovery is held, and see that nothing was touched by then."""
    await _label(case_run.scenario, "RetryLoop")
    # The target tells only once each new leader has looked at it three times.
    return await goes_on(case_run, Reason.CAUSE_OVER, lambda: _label(case_run.scenario, None), refresh_seconds=1)


async def _label(scenario: Scenario, cause: str | None) -> None:
    labels = {"metadata": {"labels": {PROPOSED_FOR: cause}}}
    await scenario.api.patch(f"{scenario.path('QueueRecovery')}/{NAME}", labels)
